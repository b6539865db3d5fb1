import { jetstream } from '@nats-io/jetstream';
import pg from 'pg';
import { expect, test } from 'vitest';
import { startNatsCluster } from '../../src/embedded/index.ts';
import { startTcpProxy } from '../../src/testing/index.ts';
import { openStage, type Stage } from '../guarantees/stage.ts';
import { natsServerOf } from '../support/nats-server-versions.ts';
import { startNatsWithStore } from '../support/nats-with-store.ts';
import { postgresOf } from '../support/postgres-versions.ts';
import { query } from '../support/query.ts';
import { startReplicaPair } from '../support/replica.ts';
import { startNats, startPostgres } from '../support/services.ts';
import { faultsAmong, findingsOf, optionsFor, proveFound, relayed, seatLeader } from './fault.ts';

/** Without known defects. */
async function startSoundNats() {
  return startNats({ binary: (await natsServerOf('2.15.1')).path });
}

test('postgres-primary says when DATABASE_URL leads to a replica', async () => {
  await using pair = await startReplicaPair();
  await using nats = await startSoundNats();
  await using stage = await openStage({ postgresUrl: pair.primary.url, natsUrl: nats.url });
  await proveFound(stage, {
    fault: 'DATABASE_URL leads to a replica',
    check: 'postgres-primary',
    severity: 'problem',
    found: /is a hot standby/,
    fix: ['Point DATABASE_URL at the primary'],
    async plant() {
      await pair.untilCaughtUp();
      const url = stage.databaseUrl.replace(/:\d+\//, `:${pair.replica.port}/`);
      return { options: { databaseUrl: () => url } };
    },
  });
});

test('synchronous-standby is content with one that is there', async () => {
  await using pair = await startReplicaPair({ applicationName: 'replica' });
  await using nats = await startSoundNats();
  await using stage = await openStage({ postgresUrl: pair.primary.url, natsUrl: nats.url });
  await seatLeader(stage);
  await query(pair.primary.url, "alter system set synchronous_standby_names = 'replica'");
  await query(pair.primary.url, 'select pg_reload_conf()');
  await expect
    .poll(() => findingsOf(optionsFor(stage), ['synchronous-standby']), { timeout: 10_000 })
    .toMatchObject([
      { severity: 'ok', found: expect.stringContaining("commits wait for 'replica', which is there") },
    ]);
});

test('a queue of notifications that fills up is found, and one that is full', async () => {
  await using postgres = await startPostgres({
    binDir: await postgresOf('18'),
    // The smallest there is, half a megabyte.
    settings: { max_notify_queue_pages: '64' },
  });
  await using nats = await startSoundNats();
  await using stage = await openStage({ postgresUrl: postgres.url, natsUrl: nats.url });
  await using listener = await listenInTransaction(stage);
  await proveFound(stage, {
    fault: 'a session that listens stays in its transaction',
    check: 'notification-queue',
    severity: 'problem',
    found: /^the queue of notifications is [56]\d % full/,
    fix: ['SELECT pg_terminate_backend(pid);'],
    plant: () => listener.notifyUntil(stage, 0.55),
  });
  await listener.notifyUntil(stage, 1);
  expect(await findingsOf(optionsFor(stage), ['listen'])).toMatchObject([
    {
      severity: 'problem',
      found: expect.stringContaining('nobody can notify'),
      fix: expect.stringContaining('pg_terminate_backend'),
    },
  ]);
});

async function listenInTransaction({ databaseUrl }: Stage) {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query('listen anything');
  await client.query('begin');
  return {
    /** Until so much of the queue is used, or nothing more goes in. */
    async notifyUntil({ pool }: Stage, share: number): Promise<undefined> {
      for (;;) {
        const { rows } = await pool.query('select pg_notification_queue_usage() as usage');
        if (rows[0].usage >= share) return undefined;
        const sent = await pool
          .query("select pg_notify('anything', repeat('x', 7000))")
          .catch(() => undefined);
        if (sent === undefined) return undefined;
      }
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
}

test('nats-version says what is known of an old server', async () => {
  await using postgres = await startPostgres();
  await using sound = await startSoundNats();
  await using old = await startNats({ binary: (await natsServerOf('2.9.10')).path });
  await using stage = await openStage({ postgresUrl: postgres.url, natsUrl: sound.url });
  await using elsewhere = await openStage({
    postgresUrl: postgres.url,
    natsUrl: old.url,
    config: { max_bytes: 1_000_000, discard: 'new' } as object,
  });
  await proveFound(stage, {
    fault: 'NATS_URL leads to nats-server 2.9.10, and the stream has a limit',
    check: 'nats-version',
    severity: 'warning',
    found: /^nats-server 2\.9\.10: it may drop the oldest messages of a stream that reaches max_bytes/,
    fix: ['Upgrade nats-server', '--max-bytes=-1'],
    plant: () => ({
      options: {
        natsSettings: () => ({ servers: [old.url] }),
        lanes: [{ stream: elsewhere.stream, subjects: [`${elsewhere.stream}.>`], ordering: 'stream' }],
      },
    }),
  });
});

test('in a cluster of 2.10.27: one copy, a copy that is away, and acknowledgements that mean nothing', async () => {
  await using postgres = await startPostgres();
  await using cluster = await startNatsCluster({ binary: (await natsServerOf('2.10.27')).path });
  await using stage = await openStage({ postgresUrl: postgres.url, natsUrl: cluster.url });
  await seatLeader(stage);
  const say = async (check: string) =>
    faultsAmong(await findingsOf(optionsFor(stage))).filter((finding) => finding.check === check);
  expect(await say('stream-replicas')).toMatchObject([
    {
      severity: 'warning',
      found: expect.stringContaining('has one copy, in a cluster'),
      fix: `nats stream edit ${stage.stream} --replicas 3`,
    },
  ]);
  expect((await say('nats-version')).map(({ found }) => found)).toEqual([
    expect.stringContaining('nats-server 2.10.27: it has published security defects'),
  ]);
  await stage.jsm.streams.update(stage.stream, { num_replicas: 3 });
  const leader = await cluster.untilStreamReady(stage.stream);
  await expect.poll(() => say('stream-replicas'), { timeout: 20_000 }).toEqual([]);
  expect((await say('nats-version')).map(({ found }) => found)).toContainEqual(
    expect.stringContaining('acknowledges messages as duplicates that it never stored'),
  );
  const follower = cluster.nodes.find((node) => node !== leader);
  await follower?.stop();
  await expect
    .poll(() => say('stream-replicas'), { timeout: 40_000, interval: 500 })
    .toMatchObject([
      {
        found: expect.stringContaining('1 of 3 copies are not current'),
        fix: expect.stringContaining('nats stream info'),
      },
    ]);
});

test('stream says when acknowledged messages are gone', async () => {
  await using postgres = await startPostgres();
  const { path: binary } = await natsServerOf('2.15.1');
  await using nats = await startNatsWithStore((options) => startNats({ ...options, binary }));
  await using stage = await openStage({ postgresUrl: postgres.url, natsUrl: nats.url });
  await relayed(stage, 3);
  await nats.keepStore();
  await proveFound(stage, {
    fault: 'an older backup of the store is put back',
    check: 'stream',
    severity: 'problem',
    found: /ends at sequence 3, and had acknowledged 8$/,
    fix: ['postcommit relay'],
    async plant() {
      await relayed(stage, 3);
      await relayed(stage, 2);
      await relayed(stage, 1); // Its row says what of the others is settled.
      await nats.restoreStore();
      return undefined;
    },
  });
});

test('consumers says when a durable is ahead of what its stream was left with', async () => {
  await using postgres = await startPostgres();
  const { path: binary } = await natsServerOf('2.9.10'); // Later ones set such a durable back themselves.
  await using nats = await startNatsWithStore((options) => startNats({ ...options, binary }));
  await using stage = await openStage({ postgresUrl: postgres.url, natsUrl: nats.url });
  await stage.jsm.consumers.add(stage.stream, { durable_name: 'letters', ack_policy: 'explicit' });
  await relayed(stage, 3);
  await nats.keepStore();
  await relayed(stage, 5);
  expect(faultsAmong(await findingsOf(optionsFor(stage), ['consumers']))).toEqual([]);
  await read(stage, 8);
  await nats.restoreMessages();
  expect(await findingsOf(optionsFor(stage), ['consumers'])).toMatchObject([
    {
      severity: 'problem',
      found: "durable 'letters' has delivered up to sequence 8, and the stream ends at 3",
      fix: expect.stringContaining('consume() moves the durable back'),
    },
  ]);
});

async function read({ connection, stream }: Stage, count: number): Promise<void> {
  const letters = await jetstream(connection).consumers.get(stream, 'letters');
  for await (const message of await letters.fetch({ max_messages: count })) await message.ackAck();
}

test('a database that answers nothing costs its own checks their time, and no others', async () => {
  await using postgres = await startPostgres();
  await using nats = await startSoundNats();
  await using stage = await openStage({ postgresUrl: postgres.url, natsUrl: nats.url });
  await using proxy = await startTcpProxy({ port: postgres.port });
  const options = optionsFor(stage, {
    databaseUrl: () => proxy.through(stage.databaseUrl),
    timeLimitMs: 1_000,
  });
  await seatLeader(stage);
  expect(faultsAmong(await findingsOf(options))).toEqual([]);
  proxy.swallow();
  const findings = await findingsOf(options);
  expect(findings.find(({ check }) => check === 'postgres-connection')).toMatchObject({
    severity: 'problem',
  });
  expect(findings.filter(({ check }) => check === 'backlog')).toMatchObject([
    { severity: 'unseen', found: expect.stringContaining('needs PostgreSQL') },
  ]);
  expect(findings.filter(({ check }) => check === 'stream-storage')).toMatchObject([{ severity: 'ok' }]);
});

test('a database that falls silent in the midst of it is given up, and the rest is looked at', async () => {
  await using postgres = await startPostgres();
  await using nats = await startSoundNats();
  await using stage = await openStage({ postgresUrl: postgres.url, natsUrl: nats.url });
  await using proxy = await startTcpProxy({
    port: postgres.port,
    tap(_, direction, bytes) {
      if (direction === 'up' && bytes.includes('pg_notification_queue_usage')) proxy.swallow();
    },
  });
  const options = optionsFor(stage, {
    databaseUrl: () => proxy.through(stage.databaseUrl),
    timeLimitMs: 1_000,
  });
  const findings = await findingsOf(options);
  expect(findings.find(({ check }) => check === 'position-sequence')).toMatchObject({ severity: 'ok' });
  expect(findings.find(({ check }) => check === 'notification-queue')).toMatchObject({ severity: 'warning' });
  expect(findings.find(({ check }) => check === 'dead-letters')).toMatchObject({ severity: 'unseen' });
  expect(findings.find(({ check }) => check === 'stream-storage')).toMatchObject({ severity: 'ok' });
});
