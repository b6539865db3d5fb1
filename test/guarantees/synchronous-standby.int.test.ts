import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { sleep } from '../../src/lifecycle/abort.ts';
import { query } from '../support/query.ts';
import { type ReplicaPair, startReplicaPair } from '../support/replica.ts';
import { openStage, type RunningRelay, type Stage } from './stage.ts';

let pair: ReplicaPair;

beforeAll(async () => {
  pair = await startReplicaPair({ applicationName: 'replica' });
});
afterAll(() => pair[Symbol.asyncDispose]());
afterEach(() => requireStandby(''));

test('while the synchronous standby is gone nothing is published, no lead is lost and nothing else waits', async () => {
  await using stage = await openStage({ postgresUrl: pair.primary.url });
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  await stage.write(10);
  await stage.untilDrained();
  await requireStandby('replica');
  await pair.cutOff();
  await commitLocally(stage, 20);
  await untilWaitsForStandby();
  const { epoch } = relay.relay.status();
  await sleep(12_000); // Longer than two leases, and than what a session of the relay asks after.
  expect(relay.relay.status()).toMatchObject({
    role: 'leader',
    epoch,
    reason: expect.stringContaining('standby'),
  });
  expect(await stage.lastSequence()).toBe(10);
  expect(await flag(stage)).toBe(0);
  expect(events(relay)).not.toContain('deposed');
  await pair.reconnect();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  expect(relay.relay.status()).toMatchObject({ role: 'leader', epoch, reason: null });
  expect(events(relay).filter((event) => event === 'standby-missing')).toHaveLength(1);
});

async function requireStandby(name: string): Promise<void> {
  await query(pair.primary.url, `alter system set synchronous_standby_names = '${name}'`);
  await query(pair.primary.url, 'select pg_reload_conf()');
  await vi.waitFor(async () => {
    const [row] = await query(pair.primary.url, "select current_setting('synchronous_standby_names')");
    if (row?.[0] !== name) throw new Error('synchronous_standby_names is not in effect');
  });
}

async function commitLocally(stage: Stage, count: number): Promise<void> {
  const client = new pg.Client({ connectionString: stage.databaseUrl });
  await client.connect();
  await client.query('set synchronous_commit = local');
  await client.query(
    "insert into postcommit.outbox (subject, payload) select $1, 'event' from generate_series(1, $2::int)",
    [stage.subject, count],
  );
  await client.end();
}

async function untilWaitsForStandby(): Promise<void> {
  const waiting = async () =>
    (
      await query(
        pair.primary.url,
        "select count(*)::int from pg_stat_activity where wait_event = 'SyncRep' and application_name like 'postcommit%'",
      )
    )[0]?.[0];
  await expect.poll(waiting, { timeout: 10_000, interval: 10 }).toBeGreaterThan(0);
}

async function flag(stage: Stage): Promise<number> {
  const { rows } = await stage.pool.query('select last_value::int from postcommit.parked_until');
  return rows[0].last_value;
}

function events({ lines }: RunningRelay): (string | undefined)[] {
  return lines.map(({ event }) => event);
}
