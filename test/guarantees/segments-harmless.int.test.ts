import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { versionFolders } from '../../src/embedded/find-executable.ts';
import { startPostgres } from '../../src/embedded/index.ts';
import { startCopyIn, startCopyOut } from '../support/copy.ts';
import { openRingRig, type RingRig } from '../support/ring-rig.ts';
import {
  startTrafficPlanner,
  startTrafficRing,
  startTrafficWriter,
  type TrafficPlanner,
  type TrafficRing,
  type TrafficWriter,
} from '../support/ring-traffic.ts';

let rig: RingRig;
beforeAll(async () => {
  rig = await openRingRig();
});
afterAll(() => rig?.[Symbol.asyncDispose]());
beforeEach(() => rig.reset());

interface Traffic extends AsyncDisposable {
  readonly writers: readonly TrafficWriter[];
  readonly planner: TrafficPlanner;
  readonly ring: TrafficRing;
  /** Ends it, and finds no harm done. */
  end(): Promise<void>;
}

/** Writers under a lock_timeout of 50 ms, a ring that turns without a pause and empties what is a moment old. */
async function startTraffic(own: RingRig = rig): Promise<Traffic> {
  const writers = [await startTrafficWriter(own), await startTrafficWriter(own), await lateWriter(own)];
  const planner = await startTrafficPlanner(own);
  const ring = await startTrafficRing(own, { retentionMs: 150 });
  const stop = async () => {
    for (const writer of writers) await writer.stop();
    await ring.stop();
    await planner.stop();
  };
  return {
    writers,
    planner,
    ring,
    [Symbol.asyncDispose]: stop,
    async end() {
      await stop();
      for (const { committed, failures } of writers) {
        expect(failures).toEqual([]);
        expect(committed.length).toBeGreaterThan(0);
        expect(committed.filter((id) => !planner.planned.has(id))).toEqual([]);
      }
      expect(ring.slowestMs, 'a turn waited').toBeLessThan(4_000);
    },
  };
}

/** Somebody with more rights than an application needs, who inserts into leaves that inserts left long ago. */
function lateWriter(own: RingRig): Promise<TrafficWriter> {
  let next = 0;
  const insert = () => {
    const segment = next++ % 8;
    return `insert into postcommit.outbox_${segment} (position, event_id, segment, subject, payload) overriding system value
      values (nextval('postcommit.outbox_position_seq'), $1, ${segment}, 'a.b', 'late')`;
  };
  return startTrafficWriter(own, { url: own.url, insert, pauseMs: 150 });
}

/** So many leaves more were emptied. */
async function untilEmptied({ ring }: Traffic, more: number): Promise<void> {
  const before = ring.emptied;
  await expect
    .poll(() => ring.emptied, { timeout: 8_000, interval: 5 })
    .toBeGreaterThanOrEqual(before + more);
}

async function untilTurned({ ring }: Traffic, more: number): Promise<void> {
  const before = ring.turns;
  await expect.poll(() => ring.turns, { timeout: 8_000, interval: 5 }).toBeGreaterThanOrEqual(before + more);
}

/** More than the server collects before it inserts. */
const ROWS = 'a.copy\tx\n'.repeat(1_500);

const ALL_LEAVES = Array.from({ length: 8 }, (_, i) => `postcommit.outbox_${i}`).join(', ');

describe('G6: rotation and emptying make no writer wait or fail, and wait for nobody', () => {
  test('under load, with a writer who inserts into old leaves', async () => {
    await using traffic = await startTraffic();
    await untilEmptied(traffic, 10);
    await expect.poll(() => traffic.ring.rotated, { timeout: 8_000 }).toBeGreaterThan(4);
    await traffic.end();
  });

  test('beside a transaction that keeps all leaves locked for reading, as a dump does: nothing is emptied', async () => {
    await using traffic = await startTraffic();
    await untilEmptied(traffic, 1);
    const dump = await rig.connect();
    await dump.query('begin isolation level repeatable read');
    await dump.query(`lock table ${ALL_LEAVES} in access share mode`);
    const { rows } = await dump.query('select count(*)::int from postcommit.outbox');
    const emptied = traffic.ring.emptied;
    await untilTurned(traffic, 10);
    expect(traffic.ring.emptied).toBe(emptied);
    expect((await dump.query('select count(*)::int from postcommit.outbox')).rows).toEqual(rows);
    await dump.query('commit');
    await untilEmptied(traffic, 3);
    await traffic.end();
  });

  test('beside a COPY that reads for long, and one that writes for long', async () => {
    await using traffic = await startTraffic();
    await rig.insert(2_000);
    const reading = await rig.connect();
    const reader = startCopyOut(
      reading,
      "copy (select o.*, repeat('x', 10000) from postcommit.outbox o) to stdout",
    );
    await reader.begun;
    const copying = await rig.connect(rig.writerUrl);
    await copying.query("set lock_timeout = '50ms'");
    const copy = startCopyIn(copying, 'copy postcommit.outbox (subject, payload) from stdin');
    await copy.write(ROWS);
    const { emptied, rotated } = traffic.ring;
    await untilTurned(traffic, 10);
    expect(traffic.ring.emptied).toBe(emptied);
    expect(await reader.end()).toBeGreaterThan(20_000_000);
    await expect.poll(() => traffic.ring.rotated, { timeout: 8_000 }).toBeGreaterThan(rotated);
    await copy.write(ROWS);
    await copy.end();
    await untilEmptied(traffic, 3);
    await traffic.end();
  });

  test('beside somebody who keeps everyone out of an old leaf: the others are emptied', async () => {
    await using traffic = await startTraffic();
    await untilEmptied(traffic, 1);
    await traffic.writers[2]?.stop(); // It would wait, for a stranger.
    const { rows } = await rig.admin.query(
      `select pg_sequence_last_value('postcommit.segment')::int as current`,
    );
    const owner = await rig.connect();
    await owner.query('begin');
    await owner.query(`lock table postcommit.outbox_${(rows[0].current + 7) % 8} in access exclusive mode`);
    await untilTurned(traffic, 10);
    await owner.query('rollback');
    await untilEmptied(traffic, 2);
    await traffic.end();
  });
});

const withDump = (await versionFolders('/usr/lib/postgresql'))
  .map((folder) => join(folder, 'bin'))
  .filter((folder) => existsSync(join(folder, 'pg_dump')));

test.for(withDump.length > 0 ? withDump : [undefined])(
  'G6: beside the pg_dump of %s',
  async (binDir, { skip }) => {
    // The embedded PostgreSQL brings none. Above is what one does, without it.
    if (binDir === undefined) return skip('there is no pg_dump in /usr/lib/postgresql');
    await using server = await startPostgres({ binDir });
    await using own = await openRingRig({ serverUrl: server.url });
    await own.insert(20_000, { segment: 6 });
    await using traffic = await startTraffic(own);
    await untilEmptied(traffic, 1);
    await own.insert(20_000, { segment: 6 });
    const dump = spawn(join(binDir, 'pg_dump'), [
      '--dbname',
      own.url,
      '--schema',
      'postcommit',
      '--data-only',
    ]);
    const ended = once(dump, 'exit');
    const dumping = async () => (await own.admin.query(DUMPING)).rows.length;
    await expect.poll(dumping, { timeout: 20_000, interval: 5 }).toBe(1);
    const { emptied } = traffic.ring;
    await untilTurned(traffic, 10);
    expect(traffic.ring.emptied).toBe(emptied);
    let written = 0;
    dump.stdout.on('data', (chunk: Buffer) => {
      written += chunk.length;
    });
    expect(await ended).toEqual([0, null]);
    expect(written).toBeGreaterThan(1_000_000);
    await untilEmptied(traffic, 1);
    await traffic.end();
  },
);

/** It keeps the locks it takes at its start until its end, which it does not reach while nobody reads what it writes. */
const DUMPING = `select from pg_locks l join pg_stat_activity a using (pid)
  where a.application_name = 'pg_dump' and l.granted and l.relation = 'postcommit.outbox_6'::regclass
    and l.database = (select oid from pg_database where datname = current_database())`;
