import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { sleep } from '../../src/lifecycle/abort.ts';
import { query } from '../support/query.ts';
import { type ReplicaPair, startReplicaPair } from '../support/replica.ts';
import { openStage, type RunningRelay, type Stage } from './stage.ts';

const leaseTtlMs = 1_500;

let pair: ReplicaPair;

beforeAll(async () => {
  pair = await startReplicaPair({ applicationName: 'replica' });
});
afterAll(() => pair[Symbol.asyncDispose]());

test('while the standby is gone nothing is published and no lead is lost; when it returns the relay goes on', async () => {
  await using stage = await openStage({ postgresUrl: pair.primary.url });
  await using relay = await stage.startRelay({ leaseTtlMs });
  await relay.until('publishing');
  await stage.write(10);
  await stage.untilDrained();
  await using _required = await requireStandby('replica');
  await pair.cutOff();
  await using writer = await openWriter(stage, 'local');
  await writer.insert(20);
  const { epoch } = relay.relay.status();
  await expect.poll(() => relay.relay.status().reason, { timeout: 15_000 }).toContain('synchronous standby');
  expect(relay.relay.status()).toMatchObject({ role: 'leader', epoch });
  expect(await stage.lastSequence()).toBe(10);
  expect(await waitingForStandby()).toBeGreaterThan(0);
  await pair.reconnect();
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  expect(relay.relay.status()).toMatchObject({ role: 'leader', epoch, reason: null });
  expect(events(relay).filter((event) => event === 'standby-missing')).toHaveLength(1);
});

test('with nothing to publish, and in the midst of taking over, the lead is kept as well', async () => {
  await using stage = await openStage({ postgresUrl: pair.primary.url });
  await using relay = await stage.startRelay({ leaseTtlMs });
  await untilParked(stage);
  await using _required = await requireStandby('nobody');
  await expect.poll(() => flag(stage), { timeout: 10_000, interval: 20 }).toBe(0);
  await sleep(2 * leaseTtlMs); // As long as the lead has to be kept.
  expect(relay.relay.status()).toMatchObject({ role: 'leader', epoch: 1 });
  await relay.relay.stop();
  await using successor = await stage.startRelay({ leaseTtlMs });
  await expect.poll(() => successor.relay.status().epoch, { timeout: 10_000, interval: 20 }).toBe(2);
  await using writer = await openWriter(stage, 'off');
  await writer.insert(5);
  await sleep(2 * leaseTtlMs);
  expect(successor.relay.status()).toMatchObject({ role: 'leader', epoch: 2 });
  expect(await stage.lastSequence()).toBe(0);
  await requireStandby('');
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
  expect(successor.relay.status()).toMatchObject({ role: 'leader', epoch: 2 });
});

test('a wait that was cancelled is a failure: the plan is read again, and published once it is on a standby', async () => {
  await using stage = await openStage({ postgresUrl: pair.primary.url });
  await using relay = await stage.startRelay({ leaseTtlMs });
  await relay.until('publishing');
  await using _required = await requireStandby('nobody');
  await using writer = await openWriter(stage, 'local');
  await writer.insert(5);
  await expect.poll(waitingForStandby, { timeout: 10_000, interval: 10 }).toBeGreaterThan(0);
  await query(pair.primary.url, `select pg_cancel_backend(pid) from pg_stat_activity where ${WAITS}`);
  await expect.poll(() => events(relay), { timeout: 10_000, interval: 10 }).toContain('term-failed');
  expect((await stage.log()).map(({ positions }) => positions.length)).toEqual([5]);
  await expect.poll(waitingForStandby, { timeout: 10_000, interval: 10 }).toBeGreaterThan(0);
  expect(await stage.lastSequence()).toBe(0);
  await requireStandby('');
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
});

test.each(['off', 'local'] as const)(
  'G6: writers with synchronous_commit=%s commit as if there were no relay, though NOTIFY is stuck elsewhere',
  async (synchronousCommit) => {
    await using stage = await openStage({ postgresUrl: pair.primary.url });
    await using writer = await openWriter(stage, synchronousCommit);
    const alone = await writer.medianMs(300);
    await using relay = await stage.startRelay({ leaseTtlMs });
    await untilParked(stage);
    await using _required = await requireStandby('nobody');
    await expect.poll(() => flag(stage), { timeout: 10_000, interval: 20 }).toBe(0);
    await using _stuck = await notifyElsewhere();
    const beside = await writer.medianMs(300);
    expect(relay.relay.status().role).toBe('leader');
    expect(beside).toBeLessThan(3 * alone + 5);
  },
);

interface Writer extends AsyncDisposable {
  insert(count: number): Promise<void>;
  /** Of so many transactions, in milliseconds; none may fail, and none may wait for a lock. */
  medianMs(transactions: number): Promise<number>;
}

async function openWriter(stage: Stage, synchronousCommit: 'off' | 'local'): Promise<Writer> {
  const client = new pg.Client({ connectionString: stage.databaseUrl });
  await client.connect();
  await client.query(`set synchronous_commit = ${synchronousCommit}`);
  await client.query("set lock_timeout = '300ms'");
  const insert = async (count: number) => {
    await client.query(
      "insert into postcommit.outbox (subject, payload) select $1, 'event' from generate_series(1, $2::int)",
      [stage.subject, count],
    );
  };
  return {
    insert,
    async medianMs(transactions) {
      const times: number[] = [];
      for (let i = 0; i < transactions; i++) {
        const startedAtMs = performance.now();
        await insert(1);
        times.push(performance.now() - startedAtMs);
      }
      return times.sort((a, b) => a - b)[transactions / 2] ?? Number.NaN;
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
}

/** A stranger in another database who notifies and waits for the standby, and holds the lock of NOTIFY meanwhile. */
async function notifyElsewhere(): Promise<AsyncDisposable> {
  const client = new pg.Client({ connectionString: pair.primary.url, application_name: 'stranger' });
  client.on('error', () => undefined);
  await client.connect();
  const notified = client
    .query("begin; select pg_logical_emit_message(true, 'stranger', ''); notify anything; commit")
    .catch(() => undefined);
  await expect.poll(waitingForStandby, { timeout: 10_000, interval: 10 }).toBeGreaterThan(0);
  return {
    async [Symbol.asyncDispose]() {
      await query(
        pair.primary.url,
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'stranger'",
      );
      await notified;
      await client.end().catch(() => undefined);
    },
  };
}

/** Until the end of the test: in that state nobody could even drop its database. */
async function requireStandby(name: string): Promise<AsyncDisposable> {
  await query(pair.primary.url, `alter system set synchronous_standby_names = '${name}'`);
  await query(pair.primary.url, 'select pg_reload_conf()');
  await vi.waitFor(async () => {
    const [row] = await query(pair.primary.url, "select current_setting('synchronous_standby_names')");
    if (row?.[0] !== name) throw new Error('synchronous_standby_names is not in effect');
  });
  return { [Symbol.asyncDispose]: async () => void (name !== '' && (await requireStandby(''))) };
}

const WAITS = "wait_event = 'SyncRep'";

async function waitingForStandby(): Promise<unknown> {
  return (await query(pair.primary.url, `select count(*)::int from pg_stat_activity where ${WAITS}`))[0]?.[0];
}

async function untilParked(stage: Stage): Promise<void> {
  await expect.poll(() => flag(stage), { timeout: 10_000, interval: 20 }).toBeGreaterThan(0);
}

async function flag(stage: Stage): Promise<number> {
  const { rows } = await stage.pool.query('select last_value::int from postcommit.parked_until');
  return rows[0].last_value;
}

function events({ lines }: RunningRelay): (string | undefined)[] {
  return lines.map(({ event }) => event);
}
