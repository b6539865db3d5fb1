import { jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Env, startCli } from '../support/cli.ts';
import { query } from '../support/query.ts';
import { createScratchDatabase, natsUrl, type ScratchDatabase, scratchName } from '../support/services.ts';

let database: ScratchDatabase;
let connection: NatsConnection;
let stream: string;
let env: Env;
beforeEach(async () => {
  database = await createScratchDatabase();
  connection = await connect({ servers: natsUrl() });
  stream = scratchName('cli_relay');
  env = {
    DATABASE_URL: database.url,
    NATS_URL: natsUrl(),
    POSTCOMMIT_STREAM: stream,
    POSTCOMMIT_SUBJECTS: `${stream}.>`,
    POSTCOMMIT_HTTP: '127.0.0.1:0',
  };
});
afterEach(async () => {
  const manager = await jetstreamManager(connection);
  await manager.streams.delete(stream).catch(() => false);
  await connection.close();
  await database.drop();
});

test('a relay migrates, leads, publishes, is joined by a standby, and both stop in order', async () => {
  await using leader = startCli(['relay', '--migrate'], env);
  const ready = await leader.line('ready');
  expect(ready).toMatchObject({ role: 'leader', http: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/) });
  await using standby = startCli(['relay'], { ...env, LOG_LEVEL: 'error' });
  const standing = await standby.line('ready');
  expect(standing).toMatchObject({ role: 'standby' });
  for (const { http } of [ready, standing]) {
    expect((await fetch(`${http}/readyz`)).status).toBe(200);
    expect((await fetch(`${http}/livez`)).status).toBe(200);
  }
  const stored = new Promise<string>((resolve) => {
    connection.subscribe(`${stream}.>`, { max: 1, callback: (_, message) => resolve(message.string()) });
  });
  await connection.flush();
  await query(database.url, `select postcommit.enqueue('${stream}.hello', '{"a": 1}')`);
  expect(JSON.parse(await stored)).toEqual({ a: 1 });
  expect(await (await fetch(`${ready.http}/metrics`)).text()).toContain('postcommit_is_leader 1');
  expect(await (await fetch(`${standing.http}/metrics`)).text()).toContain('postcommit_is_leader 0');

  standby.process.kill('SIGINT');
  expect(await standby.exit).toBe(0);
  leader.process.kill('SIGTERM');
  await leader.line('stopped');
  expect(await leader.exit).toBe(0);
});

test('a second signal ends the relay at once', async () => {
  await using relay = startCli(['relay', '--migrate', '--grace', '10m'], env);
  await relay.line('ready');
  // A lock on the batch log keeps the relay from settling, so that the orderly stop cannot end first.
  const blocker = new (await import('pg')).default.Client({ connectionString: database.url });
  await blocker.connect();
  await blocker.query('begin; lock table postcommit.batches in access exclusive mode');
  try {
    await query(database.url, `select postcommit.enqueue('${stream}.hello', '{}')`);
    await expect
      .poll(() =>
        query(
          database.url,
          `select count(*)::int from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())`,
        ),
      )
      .not.toEqual([[0]]);
    relay.process.kill('SIGTERM');
    await relay.line('stopping');
    relay.process.kill('SIGTERM');
    expect(await relay.exit).toBe(143);
  } finally {
    await blocker.end();
  }
});
