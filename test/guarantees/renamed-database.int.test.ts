import { expect, inject, test } from 'vitest';
import { query } from '../support/query.ts';
import { scratchName } from '../support/services.ts';
import { withDatabase } from '../support/with-database.ts';
import { openStage, type Stage } from './stage.ts';

/** A copy of the stage's database under another name, as a rename, pg_upgrade or a dump leave it. */
async function copyOf(stage: Stage): Promise<AsyncDisposable & { readonly url: string }> {
  const server = inject('databaseUrl');
  const [from, to] = [new URL(stage.databaseUrl).pathname.slice(1), scratchName('postcommit_test')];
  await query(server, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${from}'`);
  await query(server, `CREATE DATABASE ${to} TEMPLATE ${from}`);
  return {
    url: withDatabase(server, to),
    async [Symbol.asyncDispose]() {
      await query(server, `DROP DATABASE ${to} WITH (FORCE)`);
    },
  };
}

async function publishThirty(stage: Stage): Promise<string> {
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  await stage.write(30);
  await stage.untilDrained();
  await relay.relay.stop();
  return (await stage.messages())[0]?.source ?? '';
}

test('a database that goes by another name than its events in the stream publishes nothing, and is told what to do', async () => {
  await using stage = await openStage();
  const name = await publishThirty(stage);
  await using copy = await copyOf(stage);
  await query(copy.url, `SELECT postcommit.enqueue('${stage.subject}', '{}')`);
  await using relay = await stage.startRelay({ databaseUrl: () => copy.url });
  expect(await relay.until('paused')).toContain(`set POSTCOMMIT_SOURCE=${name} for good`);
  expect(await stage.lastSequence()).toBe(30);
  expect(await relay.count('foreignMessages')).toBe(0);
});

test('under its old name it goes on, and nothing is stored again', async () => {
  await using stage = await openStage();
  const source = await publishThirty(stage);
  await using copy = await copyOf(stage);
  await using relay = await stage.startRelay({ databaseUrl: () => copy.url, source });
  await relay.until('publishing');
  await query(copy.url, `SELECT postcommit.enqueue('${stage.subject}', '{}')`);
  await expect.poll(() => stage.lastSequence(), { timeout: 10_000 }).toBe(31);
  const messages = await stage.messages();
  expect(new Set(messages.map(({ eventId }) => eventId)).size).toBe(31);
  expect(messages.map((message) => message.source)).toEqual(messages.map(() => source));
});

test('what another database wrote into the slots is a stranger, whatever its positions', async () => {
  await using stage = await openStage();
  await publishThirty(stage);
  // The same positions in the same places, and other events: a stream that two databases were given.
  await stage.pool.query('UPDATE postcommit.outbox SET event_id = gen_random_uuid()');
  await using relay = await stage.startRelay({ source: 'another' });
  await relay.until('publishing');
  expect(await relay.count('foreignMessages')).toBeGreaterThan(0);
});
