import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/embedded/index.ts';
import { sleep } from '../../src/lifecycle/abort.ts';
import { startPostgres } from '../support/services.ts';
import { openStage, type RunningRelay, type Stage } from './stage.ts';

let postgres: EmbeddedPostgres;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres[Symbol.asyncDispose]());

test('PostgreSQL restarting and crashing under load costs nothing', async () => {
  await using stage = await openStage({ postgresUrl: postgres.url });
  await using relay = await stage.startRelay();
  await using writers = stage.startWriters();
  await relay.until('publishing');
  for (const mode of ['fast', 'immediate', 'immediate'] as const) {
    await stage.untilPublishing({ events: 2_000, share: 0.2 });
    const { epoch } = relay.relay.status();
    await postgres.restart(mode);
    await untilNextTerm(relay, epoch);
  }
  await writers.stop();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
});

test('while PostgreSQL is down the relay waits, and says so no more than about once a second', async () => {
  await using stage = await openStage({ postgresUrl: postgres.url });
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  const linesBefore = relay.lines.length;
  await postgres.stop('immediate');
  const downMs = 4_000;
  await sleep(downMs); // The length of the outage.
  expect(relay.relay.status()).toMatchObject({ role: 'starting', databaseConnected: false });
  expect(relay.lines.length - linesBefore).toBeLessThanOrEqual(downMs / 1_000 + 6);
  await postgres.start();
  await relay.until('publishing');
  await stage.write(10);
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
});

test.each(['postcommit lease', 'postcommit relay', 'postcommit maintenance', 'postcommit listen'])(
  'when the session "%s" is terminated under load, the relay goes on by itself',
  async (name) => {
    await using stage = await openStage({ postgresUrl: postgres.url });
    await using relay = await stage.startRelay();
    await using writers = stage.startWriters();
    await relay.until('publishing');
    await stage.untilPublishing({ events: 1_000, share: 0.2 });
    const { epoch } = relay.relay.status();
    expect(await terminate(stage, name)).toBe(1);
    if (name === 'postcommit listen') await untilListeningAgain(stage, relay);
    else await untilNextTerm(relay, epoch);
    await writers.stop();
    await stage.untilDrained();
    expect(await stage.faults()).toEqual([]);
    await stage.write(1);
    await stage.untilDrained(4_000);
    expect(await relay.count('sweepFoundEvents')).toBe(0);
  },
);

/** Resolves when the relay leads again, under another epoch than this. */
async function untilNextTerm({ relay, until }: RunningRelay, epoch: number | null): Promise<void> {
  const leadsAgain = () => {
    const { epoch: now } = relay.status();
    return now !== null && now !== epoch;
  };
  await expect.poll(leadsAgain, { timeout: 15_000, interval: 5 }).toBe(true);
  await until('publishing', 15_000);
}

async function terminate(stage: Stage, name: string): Promise<number> {
  const { rows } = await stage.pool.query(
    "select count(pg_terminate_backend(pid))::int from pg_stat_activity where application_name like $1 || '%'",
    [name],
  );
  return rows[0].count;
}

async function untilListeningAgain(stage: Stage, { lines }: RunningRelay): Promise<void> {
  await expect.poll(() => lines.some(({ event }) => event === 'listen-lost'), { timeout: 10_000 }).toBe(true);
  const sessions = async () => {
    const { rows } = await stage.pool.query(
      "select count(*)::int from pg_stat_activity where application_name = 'postcommit listen' and query ilike 'listen%'",
    );
    return rows[0].count;
  };
  await expect.poll(sessions, { timeout: 10_000 }).toBe(1);
}
