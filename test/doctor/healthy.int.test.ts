import { afterAll, beforeAll, expect, test } from 'vitest';
import { consume } from '../../src/consumer/index.ts';
import { CHECKS } from '../../src/doctor/index.ts';
import type { EmbeddedNats, EmbeddedPostgres } from '../../src/embedded/index.ts';
import { openStage, type Stage } from '../guarantees/stage.ts';
import { natsServerOf } from '../support/nats-server-versions.ts';
import { query } from '../support/query.ts';
import { scratchName, startNats, startPostgres } from '../support/services.ts';
import { faultsAmong, findingsOf, optionsFor } from './fault.ts';
import { relayGrants } from './roles.ts';

let postgres: EmbeddedPostgres;
let nats: EmbeddedNats;
const stream = scratchName('healthy');
beforeAll(async () => {
  const { path: binary } = await natsServerOf('2.15.1');
  [postgres, nats] = await Promise.all([startPostgres(), startNats({ binary, config: users() })]);
});
afterAll(async () => {
  for (const server of [postgres, nats]) await server?.[Symbol.asyncDispose]();
});

/** One who may do everything, and one with what `docs/roles-and-privileges.md` permits a relay. */
function users(): string {
  const api = ['STREAM.INFO', 'STREAM.CREATE', 'STREAM.MSG.GET'].map((one) => `"$JS.API.${one}.${stream}"`);
  return `
authorization {
  users: [
    { user: all, password: p }
    { user: relay, password: p, permissions: { publish: ["${stream}.>", ${api.join(', ')}], subscribe: ["_INBOX.>"] } }
  ]
}`;
}

function as(user: string): string {
  return nats.url.replace('nats://', `nats://${user}:p@`);
}

function open(): Promise<Stage> {
  return openStage({ postgresUrl: postgres.url, natsUrl: as('all') });
}

interface System {
  readonly databaseUrl?: string;
  readonly natsUrl?: string;
  readonly ordering?: 'stream' | 'key';
}

/** A relay on a stream that it makes, with events published and consumed. */
async function running(stage: Stage, options: System = {}) {
  const { databaseUrl = stage.databaseUrl, natsUrl = as('all'), ordering = 'stream' } = options;
  const lane = { stream, subjects: [`${stream}.>`], ordering };
  const nats = () => ({ servers: [natsUrl] });
  const relay = await stage.startRelay({ databaseUrl: () => databaseUrl, nats, lanes: [lane] });
  let seen = 0;
  const consumer = await consume({ nats: as('all'), stream, durable: 'reader', db: stage.pool }, () => {
    seen++;
  });
  await stage.write(10, { subject: `${stream}.event`, key: 'k' });
  await expect.poll(() => seen, { timeout: 10_000 }).toBe(10);
  return {
    doctor: optionsFor(stage, { databaseUrl: () => databaseUrl, natsSettings: nats, lanes: [lane] }),
    async [Symbol.asyncDispose]() {
      await consumer.stop();
      await relay.relay.stop();
      await stage.jsm.streams.delete(stream);
    },
  };
}

test.each(['stream', 'key'] as const)(
  'a system that is well has no finding, in %s ordering',
  async (ordering) => {
    await using stage = await open();
    await using system = await running(stage, { ordering });
    const findings = await findingsOf(system.doctor);
    expect(findings.filter(({ severity }) => severity !== 'ok')).toEqual([]);
    expect(findings.map(({ check }) => check)).toEqual(CHECKS.map(({ name }) => name));
    for (const { found } of findings) expect(found).toMatch(/\S{2}/);
  },
);

test('as the role and the user of a relay it finds nothing that is not there, and says what is hidden', async () => {
  await using stage = await open();
  const role = scratchName('relay');
  await query(postgres.url, `create role ${role} login`);
  await query(stage.databaseUrl, relayGrants(role));
  const databaseUrl = stage.databaseUrl.replace('postgres@', `${role}@`);
  await using system = await running(stage, { databaseUrl, natsUrl: as('relay') });
  const findings = await findingsOf(system.doctor);
  expect(faultsAmong(findings)).toEqual([]);
  const hidden = findings.filter(({ severity }) => severity === 'unseen');
  expect(hidden.map(({ check }) => check)).toEqual([
    'old-transactions',
    'inbox-retention',
    'jetstream',
    'consumers',
  ]);
  const [transactions, , account, consumers] = hidden;
  expect(transactions?.fix).toContain(`GRANT pg_read_all_stats TO ${role}`);
  expect(account?.fix).toContain("'$JS.API.INFO'");
  expect(consumers?.fix).toContain(`'$JS.API.CONSUMER.LIST.${stream}'`);
});

test('a stream that the relay has yet to make is well', async () => {
  await using stage = await open();
  const options = optionsFor(stage, {
    natsSettings: () => ({ servers: [as('all')] }),
    lanes: [{ stream: 'to_be_made', subjects: ['to_be_made.>'], ordering: 'stream' }],
  });
  const findings = await findingsOf(
    options,
    CHECKS.map(({ name }) => name).filter((name) => /^(stream|max-|foreign)/.test(name)),
  );
  expect(findings.filter(({ severity }) => severity !== 'ok')).toEqual([]);
  expect(findings.find(({ check }) => check === 'stream')?.found).toContain(
    'the relay makes it when it starts',
  );
});

test('looking changes nothing', async () => {
  await using stage = await open();
  await using system = await running(stage);
  const before = await everything(stage);
  await findingsOf(system.doctor);
  expect(await everything(stage)).toEqual(before);
});

/** But for what a relay writes all the time: the lease's end, the parking flag. */
async function everything(stage: Stage) {
  const tables = [
    'outbox',
    'batches',
    'inbox',
    'dead_letters',
    'requests',
    'migrations',
    'consumer_failures',
  ];
  const rows = await Promise.all(
    tables.map((table) => query(stage.databaseUrl, `select * from postcommit.${table} order by 1, 2`)),
  );
  const [catalog] = await query(
    stage.databaseUrl,
    `select (select count(*) from pg_class), (select count(*) from pg_proc),
            (select string_agg(sequencename || last_value, ',' order by sequencename) from pg_sequences where sequencename <> 'parked_until'),
            (select epoch || holder from postcommit.lease)`,
  );
  const { config, state } = await stage.jsm.streams.info(stream);
  return { rows, catalog, config, state };
}
