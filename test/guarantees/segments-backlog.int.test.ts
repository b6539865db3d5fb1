import { expect, test } from 'vitest';
import { auditOutbox } from '../../src/outbox/audit-report.ts';
import { READ_SETTINGS } from '../../src/outbox/read.ts';
import { openSession } from '../../src/postgres/session.ts';
import { startWriters } from '../support/writers.ts';
import { openStage } from './stage.ts';

/** Set POSTCOMMIT_TEST_BACKLOG to what a relay that was down for days would find. */
const BACKLOG = Number(process.env.POSTCOMMIT_TEST_BACKLOG ?? 300_000);
/** At least 10,000 events a second, on a machine that does other things too. */
const WITHIN_MS = BACKLOG / 10;
const MEBIBYTE = 1024 * 1024;

test(
  'a relay that comes back to a large backlog drains it, leaf by leaf, and harms no writer',
  async () => {
    await using stage = await openStage();
    for (let i = 0; i < 3; i++) await stage.write(BACKLOG / 3);
    const url = new URL(stage.databaseUrl);
    url.searchParams.set('options', '-c lock_timeout=50ms');
    await using writers = startWriters({ url: url.href, subject: stage.subject, count: 2 });
    await expect.poll(() => writers.commits).toBeGreaterThan(20);
    await using relay = await stage.startRelay({ segmentBytes: 8 * MEBIBYTE });
    await expect
      .poll(() => stage.lastSequence(), { timeout: WITHIN_MS, interval: 50 })
      .toBeGreaterThan(BACKLOG);
    await writers.stop();
    expect(writers.failures).toEqual([]);
    await stage.untilDrained();
    const { rows } = await stage.pool.query(`select count(*)::int as events from postcommit.outbox`);
    expect(rows[0].events).toBeGreaterThan(BACKLOG);
    expect((await stage.jsm.streams.info(stage.stream)).state.messages).toBe(rows[0].events);
    await using session = disposable(
      await openSession({ url: stage.databaseUrl, name: 'audit', settings: READ_SETTINGS }),
    );
    expect(await auditOutbox(session)).toMatchObject({
      rows: rows[0].events,
      planned: rows[0].events,
      uncovered: { count: 0 },
      reused: { count: 0 },
      plannedTwice: { count: 0 },
    });
    expect(await relay.count('auditFoundEvents')).toBe(0);
  },
  60_000 + 4 * WITHIN_MS,
);

function disposable<Held extends { close(): Promise<void> }>(held: Held): Held & AsyncDisposable {
  return Object.assign(held, { [Symbol.asyncDispose]: () => held.close() });
}
