import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedNats, EmbeddedPostgres } from '../../src/embedded/index.ts';
import { runCli } from '../support/cli.ts';
import { type RelayUnderTest, startRelay } from '../support/relay-under-test.ts';
import { startNats, startPostgres } from '../support/services.ts';

// The daemon as it is deployed, a leader and a standby, with servers that stop and start. `waitsBecause` looks at /livez each
// time, which must stay green: a restart would not help.

let postgres: EmbeddedPostgres;
let nats: EmbeddedNats;
let leader: RelayUnderTest;
let standby: RelayUnderTest;

beforeAll(async () => {
  [postgres, nats] = await Promise.all([startPostgres(), startNats()]);
  const env = { DATABASE_URL: postgres.url, NATS_URL: nats.url };
  expect(await runCli(['migrate'], env)).toMatchObject({ code: 0 });
  leader = await startRelay(env, postgres.url);
  standby = await startRelay(
    { ...env, POSTCOMMIT_STREAM: leader.stream, POSTCOMMIT_SUBJECTS: `${leader.stream}.>` },
    postgres.url,
  );
});
afterAll(async () => {
  for (const resource of [leader, standby, nats, postgres]) await resource?.[Symbol.asyncDispose]();
});

async function bothWait(reason: RegExp): Promise<void> {
  await Promise.all([leader.waitsBecause(reason), standby.waitsBecause(reason)]);
}

/** Either may lead by then. */
async function bothAreReady(): Promise<void> {
  for (const relay of [leader, standby])
    await expect.poll(() => relay.get('/readyz'), { timeout: 30_000 }).toMatchObject({ status: 200 });
}

test('both are alive and ready', async () => {
  await bothAreReady();
  expect(await leader.get('/livez')).toMatchObject({ status: 200, body: expect.stringContaining('leader') });
  expect(await standby.get('/livez')).toMatchObject({
    status: 200,
    body: expect.stringContaining('standby'),
  });
  await leader.publishes();
});

test('while NATS is down', async () => {
  await nats.stop();
  await bothWait(/not connected to NATS/);
  await bothWait(/NATS: connection refused\. Check that nats-server is running/);
  await nats.start();
  await bothAreReady();
});

test('while NATS is frozen', async () => {
  nats.kill('SIGSTOP');
  await bothWait(/not connected to NATS/);
  nats.kill('SIGCONT');
  await bothAreReady();
});

test.each(['fast', 'immediate'] as const)('while PostgreSQL is down (%s)', async (mode) => {
  await postgres.stop(mode);
  await bothWait(/the relay is starting.*not connected to PostgreSQL/);
  await bothWait(/cannot connect to PostgreSQL at 127\.0\.0\.1:\d+.*Check that the server runs/);
  await postgres.start();
  await bothAreReady();
});

test('while both are down, and in whatever order they come back', async () => {
  for (const [first, second] of [
    [nats, postgres],
    [postgres, nats],
  ] as const) {
    await Promise.all([nats.stop(), postgres.stop()]);
    await bothWait(/not connected to PostgreSQL.*not connected to NATS/);
    await first.start();
    await bothWait(first === nats ? /not connected to PostgreSQL/ : /not connected to NATS/);
    await second.start();
    await bothAreReady();
  }
});

test('and afterwards events are published, whoever leads', async () => {
  const { body } = await leader.get('/livez');
  await (JSON.parse(body).role === 'leader' ? leader : standby).publishes();
  // And by the other one, when that one is gone.
  const [gone, other] = JSON.parse(body).role === 'leader' ? [leader, standby] : [standby, leader];
  gone.cli.process.kill('SIGKILL');
  await expect.poll(async () => (await other.get('/livez')).body, { timeout: 30_000 }).toContain('"leader"');
  await other.publishes();
});
