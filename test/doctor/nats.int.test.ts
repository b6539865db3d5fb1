import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consume } from '../../src/consumer/index.ts';
import { type EmbeddedNats, freePort } from '../../src/embedded/index.ts';
import { migrate } from '../../src/migrate/index.ts';
import { openStage, type Stage } from '../guarantees/stage.ts';
import { natsServerOf } from '../support/nats-server-versions.ts';
import { query } from '../support/query.ts';
import { scratchName, startNats, startPostgres } from '../support/services.ts';
import { type Fault, type Planted, proveFound, relayed } from './fault.ts';

let nats: EmbeddedNats;
let postgres: Awaited<ReturnType<typeof startPostgres>>;
beforeAll(async () => {
  const { path: binary } = await natsServerOf('2.15.1');
  [postgres, nats] = await Promise.all([startPostgres(), startNats({ binary, config: ACCOUNTS })]);
});
afterAll(async () => {
  for (const server of [postgres, nats]) await server?.[Symbol.asyncDispose]();
});

/** Whoever does not log in is in one that has JetStream without limits. */
const ACCOUNTS = `
accounts {
  open { jetstream: enabled, users: [ { user: nobody, password: p } ] }
  none { users: [ { user: without, password: p } ] }
  small { jetstream { max_file: 1MB }, users: [ { user: small, password: p } ] }
}
no_auth_user: nobody
`;

const FAULTS: readonly Fault[] = [
  {
    fault: 'nobody listens where NATS_URL leads',
    check: 'nats-connection',
    severity: 'problem',
    found: /^cannot connect to NATS at 127\.0\.0\.1:1: /,
    fix: ['Check that nats-server is running there and that NATS_URL is right'],
    plant: () => servers('nats://127.0.0.1:1'),
  },
  {
    fault: 'the password at NATS is wrong',
    check: 'nats-connection',
    severity: 'problem',
    found: /Authorization Violation/i,
    fix: ['Check NATS_CREDS, NATS_USER and NATS_PASSWORD'],
    plant: () => servers(urlAs('small', 'wrong')),
  },
  {
    fault: 'one of two servers is down',
    check: 'nats-connection',
    severity: 'warning',
    found: /^the server 127\.0\.0\.1:\d+ of NATS_URL does not answer: /,
    fix: ['Start it, or take it out of NATS_URL'],
    plant: async () => servers(nats.url, `nats://127.0.0.1:${await freePort()}`),
  },
  {
    fault: 'the account has no JetStream',
    check: 'jetstream',
    severity: 'problem',
    found: /^JetStream does not serve this account/,
    fix: ['jetstream: enabled'],
    also: ['stream'],
    plant: () => servers(urlAs('without', 'p')),
  },
  {
    fault: 'the account has used up its storage',
    check: 'jetstream',
    severity: 'problem',
    found: /^the account uses .* of 1 MiB of storage \(9\d %\)/,
    fix: ['max_file', 'nats stream purge'],
    also: ['stream'],
    plant: async () => {
      await fill(urlAs('small', 'p'));
      return { options: { ...servers(urlAs('small', 'p')).options, provision: false } };
    },
  },
  {
    fault: 'the stream is missing, and may not be made',
    check: 'stream',
    severity: 'problem',
    found: /^stream 'lost_\w+' does not exist, and creating it is switched off/,
    fix: ['nats stream add lost_', "--subjects 'lost.>'", 'POSTCOMMIT_PROVISION=true'],
    plant: () => ({ options: { provision: false, lanes: [lane(scratchName('lost'), 'lost.>')] } }),
  },
  {
    fault: 'the stream was deleted',
    check: 'stream',
    severity: 'problem',
    found: /is gone, and the batch log holds plans for it$/,
    fix: ['postcommit adopt --stream '],
    async plant(stage) {
      await relayed(stage, 3);
      await stage.jsm.streams.delete(stage.stream);
      return undefined;
    },
  },
  {
    fault: 'the stream was deleted and made anew',
    check: 'stream',
    severity: 'problem',
    found: /is not the one planned for: it was created /,
    fix: ['postcommit adopt --stream '],
    async plant(stage) {
      await relayed(stage, 3);
      await stage.jsm.streams.delete(stage.stream);
      await stage.jsm.streams.add({ name: stage.stream, subjects: [`${stage.stream}.>`] });
      return undefined;
    },
  },
  {
    fault: 'the stream is sealed',
    check: 'stream',
    severity: 'problem',
    found: /is sealed and takes no messages$/,
    fix: ['use another stream'],
    plant: (stage) => updated(stage, { sealed: true }),
  },
  {
    fault: 'the stream has sources',
    check: 'stream',
    severity: 'problem',
    found: /has sources, whose messages take the places of events$/,
    fix: ["'key' ordering"],
    async plant({ jsm, stream }) {
      const source = scratchName('source');
      await jsm.streams.add({ name: source, subjects: [`${source}.>`] });
      await jsm.streams.update(stream, { sources: [{ name: source }] });
      return { undo: () => jsm.streams.delete(source) };
    },
  },
  {
    fault: 'the stream does not capture the subjects of the lane',
    check: 'stream-subjects',
    severity: 'problem',
    found: /captures '.*', not 'orders\.>'$/,
    fix: ['--subjects', 'POSTCOMMIT_SUBJECTS'],
    plant: ({ stream }) => ({ options: { lanes: [lane(stream, 'orders.>')] } }),
  },
  {
    fault: 'another stream has the subjects',
    check: 'stream-subjects',
    severity: 'problem',
    found: /^stream 'guarantee_\w+' captures '.*' already, so that 'mine_\w+' cannot be created/,
    fix: ['POSTCOMMIT_STREAM=guarantee_', 'POSTCOMMIT_SUBJECTS'],
    plant: ({ stream }) => ({ options: { lanes: [lane(scratchName('mine'), `${stream}.>`)] } }),
  },
  {
    fault: 'the stream lies in memory',
    check: 'stream-storage',
    severity: 'problem',
    found: /lies in memory$/,
    fix: ['nats stream rm ', 'postcommit adopt --stream '],
    plant: (stage) => remade(stage, { storage: 'memory' }),
  },
  {
    fault: 'the stream acknowledges nothing',
    check: 'stream-no-ack',
    severity: 'problem',
    found: /has no_ack and confirms nothing$/,
    fix: ['nats stream edit ', '--ack'],
    plant: (stage) => updated(stage, { no_ack: true }),
  },
  {
    fault: 'a full stream drops its oldest messages',
    check: 'stream-discard',
    severity: 'warning',
    found: /drops its oldest messages when it is full \(discard: old, max_msgs 1,000\)$/,
    fix: ['nats stream edit ', '--discard new'],
    plant: (stage) => updated(stage, { max_msgs: 1_000 }),
  },
  {
    fault: 'the stream is nearly full',
    check: 'stream-limits',
    severity: 'warning',
    found: /is 90 % full \(max_msgs 10\)$/,
    fix: ['nats stream edit ', '--max-msgs=<more>', 'nats stream purge '],
    async plant(stage) {
      await updated(stage, { max_msgs: 10, discard: 'new' });
      return published(stage, 9);
    },
  },
  {
    fault: 'the stream is full',
    check: 'stream-limits',
    severity: 'problem',
    found: /is 100 % full \(max_msgs 10\)$/,
    fix: ['--max-msgs=<more>'],
    async plant(stage) {
      await updated(stage, { max_msgs: 10, discard: 'new' });
      return published(stage, 10);
    },
  },
  {
    fault: 'the stream keeps one message of a subject',
    check: 'stream-limits',
    severity: 'warning',
    found: /keeps 1 messages of a subject/,
    fix: ['--max-msgs-per-subject=-1'],
    plant: (stage) => updated(stage, { max_msgs_per_subject: 1 }),
  },
  {
    fault: 'the duplicate window is too short for key ordering',
    check: 'stream-duplicate-window',
    severity: 'warning',
    found: /remembers message ids for 5 s only$/,
    fix: ['--dupe-window 2m'],
    async plant(stage) {
      await updated(stage, { duplicate_window: 5 * SECOND });
      return { options: { lanes: [{ ...lane(stage.stream, `${stage.stream}.>`), ordering: 'key' }] } };
    },
  },
  {
    fault: 'the duplicate window costs memory that stream ordering has no use for',
    check: 'stream-duplicate-window',
    severity: 'warning',
    found: /remembers message ids for 1 h$/,
    fix: ['--dupe-window 30s'],
    plant: (stage) => updated(stage, { duplicate_window: 3_600 * SECOND }),
  },
  {
    fault: 'the outbox takes larger events than the server',
    check: 'max-payload',
    severity: 'problem',
    found:
      /^the outbox takes events of 8,000,000 bytes, and the server messages of 1,048,576 \(max_payload\)/,
    fix: ['max_payload: 8002048', 'postcommit migrate --max-payload 1046528'],
    async plant({ databaseUrl }) {
      await migrate({ url: databaseUrl, maxPayload: 8_000_000 });
      return undefined;
    },
  },
  {
    fault: 'the outbox takes larger events than the stream',
    check: 'max-payload',
    severity: 'problem',
    found: /messages of 50,000 \(max_msg_size\)$/,
    fix: ['--max-msg-size=-1', 'postcommit migrate --max-payload 47952'],
    plant: (stage) => updated(stage, { max_msg_size: 50_000 }),
  },
  {
    fault: 'the stream has no room for the headers of CloudEvents',
    check: 'max-payload',
    severity: 'warning',
    found: /messages of 1,005,000 \(max_msg_size\)$/,
    fix: ['--max-msg-size=-1', 'postcommit migrate --max-payload 997832'],
    async plant(stage) {
      await updated(stage, { max_msg_size: 1_005_000 });
      return { options: { cloudEvents: 'binary' } };
    },
  },
  {
    fault: 'somebody else writes to the stream',
    check: 'foreign-writers',
    severity: 'problem',
    found:
      /^2 of the newest messages in '.*' are not of this outbox, that at sequence 5 of a publisher other than a relay/,
    fix: ['the only writer', 'POSTCOMMIT_ORDERING=key'],
    async plant(stage) {
      await relayed(stage, 3);
      return published(stage, 2);
    },
  },
  {
    fault: 'a second outbox writes to the stream',
    check: 'foreign-writers',
    severity: 'problem',
    found: /of the outbox 'postcommit_test_/,
    fix: ['POSTCOMMIT_ORDERING=key'],
    async plant(stage) {
      await relayed(stage, 3);
      return { options: { source: 'another' } };
    },
  },
  {
    fault: 'the stream forgets events before the outbox does',
    check: 'stream-retention',
    severity: 'warning',
    found: /forgets events after 1 h, and the outbox keeps them for 1 d$/,
    fix: ['--max-age 24h', 'POSTCOMMIT_RETENTION'],
    plant: (stage) => updated(stage, { max_age: 3_600 * SECOND }),
  },
  {
    fault: 'the outbox forgets events before NATS has flushed them',
    check: 'stream-retention',
    severity: 'warning',
    found: /^the outbox keeps stored events for 1 min \(POSTCOMMIT_RETENTION\)/,
    fix: ['POSTCOMMIT_RETENTION=24h'],
    plant: () => ({ options: { retentionMs: 60_000 } }),
  },
  {
    fault: 'a stream that keeps messages for its consumers has none',
    check: 'stream-retention',
    severity: 'problem',
    found: /\(interest retention\), and has none$/,
    fix: ['Start the consumer first'],
    plant: (stage) => remade(stage, { retention: 'interest' }),
  },
  {
    fault: 'a durable gives messages up',
    check: 'consumers',
    severity: 'warning',
    found: /^durable 'letters' gives a message up after 3 deliveries/,
    fix: ['--max-deliver=-1'],
    plant: (stage) => durable(stage, { max_deliver: 3 }),
  },
  {
    fault: 'a durable does not acknowledge',
    check: 'consumers',
    severity: 'warning',
    found: /^durable 'letters' has the ack policy none/,
    fix: ['nats consumer rm '],
    plant: (stage) => durable(stage, { ack_policy: 'none' }),
  },
  {
    fault: 'a durable is paused',
    check: 'consumers',
    severity: 'warning',
    found: /^durable 'letters' is paused/,
    fix: ['nats consumer resume '],
    async plant(stage) {
      await durable(stage, {});
      await stage.jsm.consumers.pause(stage.stream, 'letters', new Date(Date.now() + 600_000));
      return undefined;
    },
  },
  {
    fault: 'handlers acknowledge nothing, and nothing new is delivered',
    check: 'consumers',
    severity: 'warning',
    found: /^durable 'letters' has 2 messages under way, as many as it may/,
    fix: ['consumer-handler-failed', 'postcommit dead-letters list --consumer letters'],
    async plant(stage) {
      await durable(stage, { max_ack_pending: 2 });
      await published(stage, 5);
      const letters = await jetstream(stage.connection).consumers.get(stage.stream, 'letters');
      const messages = await letters.fetch({ max_messages: 2 });
      for await (const _ of messages);
      return undefined;
    },
  },
  {
    fault: 'no instance of a consumer works',
    check: 'consumers',
    severity: 'problem',
    found: /^no instance of the consumer 'letters' has worked for 1 h, and 4 messages wait/,
    fix: ['Start it'],
    async plant(stage) {
      await durable(stage, {});
      await published(stage, 4);
      await query(
        stage.databaseUrl,
        `insert into postcommit.consumer_leases (consumer, epoch, holder, expires_at)
         values ('${stage.stream}/letters', 1, 'gone:1', clock_timestamp() - interval '1 hour')`,
      );
      return undefined;
    },
  },
  {
    fault: 'rows of the inbox were deleted that the stream can deliver again',
    check: 'inbox-retention',
    severity: 'problem',
    found:
      /^the inbox of 'letters' has forgotten events that the stream still holds, that at sequence 1 for one/,
    fix: ['postcommit.inbox_prune'],
    async plant(stage) {
      await relayed(stage, 3);
      await consumed(stage, 3);
      await query(stage.databaseUrl, 'delete from postcommit.inbox where sequence < 3');
      return undefined;
    },
  },
  {
    fault: 'nobody prunes the inbox',
    check: 'inbox-retention',
    severity: 'warning',
    found: /^the inbox of 'letters' is not pruned: it remembers events from 30 d ago/,
    fix: ["SELECT postcommit.inbox_prune('letters', '", "', 4);"],
    async plant(stage) {
      await relayed(stage, 3);
      await consumed(stage, 3);
      await stage.jsm.streams.purge(stage.stream);
      await query(
        stage.databaseUrl,
        "update postcommit.inbox set recorded_at = recorded_at - interval '30 days'",
      );
      return undefined;
    },
  },
  {
    fault: 'events can be replayed for longer than the inbox remembers',
    check: 'inbox-retention',
    severity: 'warning',
    found: /^events can be replayed for 30 d \(POSTCOMMIT_RETENTION\), and inboxes remember for 7 d/,
    fix: ['inboxRetentionMs: 2592000000', 'POSTCOMMIT_RETENTION'],
    async plant(stage) {
      await relayed(stage, 3);
      await consumed(stage, 3);
      return { options: { retentionMs: 30 * 86_400_000 } };
    },
  },
];

test.each(FAULTS)('$check says when $fault', async (fault) => {
  await using stage = await openStage({
    postgresUrl: postgres.url,
    natsUrl: nats.url,
    config: { ...fault.config },
  });
  await proveFound(stage, fault);
  await stage.jsm.streams.delete(stage.stream).catch(() => undefined);
});

test('a lane that is paused is named by its backlog, and by what pauses it', async () => {
  await using stage = await openStage({
    postgresUrl: postgres.url,
    natsUrl: nats.url,
    config: { max_msgs: 2, discard: 'new' } as object,
  });
  let relay: AsyncDisposable | undefined;
  await proveFound(stage, {
    fault: 'the stream is full while a relay leads',
    check: 'backlog',
    severity: 'problem',
    found: /^(3|up to \d+) (planned events are not in the stream|events are waiting)/,
    fix: ['/readyz of the leader'],
    also: ['stream-limits'],
    async plant() {
      await query(stage.databaseUrl, 'update postcommit.lease set holder = null, expires_at = null');
      const running = await stage.startRelay();
      relay = running;
      await stage.write(5);
      await running.until('paused');
      return { options: { maxLagMs: 100 } };
    },
  });
  expect(relay).toBeDefined();
  await relay?.[Symbol.asyncDispose]();
  await stage.jsm.streams.delete(stage.stream);
});

const SECOND = 1_000_000_000;

function servers(...urls: string[]): Planted {
  return { options: { natsSettings: () => ({ servers: urls }) } };
}

function urlAs(user: string, password: string): string {
  return nats.url.replace('nats://', `nats://${user}:${password}@`);
}

function lane(stream: string, subject: string) {
  return { stream, subjects: [subject], ordering: 'stream' } as const;
}

async function updated({ jsm, stream }: Stage, config: object): Promise<undefined> {
  await jsm.streams.update(stream, config);
}

/** What cannot be changed of a stream that is there. */
async function remade({ jsm, stream }: Stage, config: object): Promise<undefined> {
  await jsm.streams.delete(stream);
  await jsm.streams.add({ name: stream, subjects: [`${stream}.>`], ...config });
}

async function durable({ jsm, stream }: Stage, config: object): Promise<undefined> {
  await jsm.consumers.add(stream, { durable_name: 'letters', ack_policy: 'explicit', ...config });
}

/** By somebody who is no relay. */
async function published({ connection, subject }: Stage, count: number): Promise<undefined> {
  for (let i = 0; i < count; i++) await connection.request(subject, 'from elsewhere');
}

async function consumed({ databaseUrl, natsUrl, stream }: Stage, count: number): Promise<void> {
  const db = new pg.Pool({ connectionString: databaseUrl });
  let seen = 0;
  const consumer = await consume({ nats: natsUrl, stream, durable: 'letters', db, confirmAck: true }, () => {
    seen++;
  });
  await expect.poll(() => seen, { timeout: 10_000 }).toBe(count);
  await consumer.stop();
  await db.end();
}

/** Nine tenths and more of what the account may keep. */
async function fill(url: string): Promise<void> {
  const { username: user, password: pass } = new URL(url);
  const connection = await connect({ servers: nats.url, user, pass });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: 'fat', subjects: ['fat'] });
  for (let i = 0; i < 10; i++) await connection.request('fat', new Uint8Array(100_000));
  await connection.close();
}
