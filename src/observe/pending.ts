import type { Batch } from '../batch-log/batch.ts';
import { coverageOf } from '../batch-log/recover.ts';
import {
  type SettledLog,
  type SettledStream,
  settledLogs,
  unsettledPositions,
} from '../batch-log/settled.ts';
import { outboxRows, uncoveredRows, unreadBeyond } from '../outbox/recent.ts';
import { sizeOf } from '../postgres/position-ranges.ts';
import type { Session } from '../postgres/session.ts';

/** What is committed and not known to be stored. */
export interface Pending {
  readonly events: number;
  /** False: there are many, and they were not all counted. */
  readonly exact: boolean;
  /** When the oldest of them was inserted, in Unix milliseconds; null if there is none. */
  readonly oldestMs: number | null;
  /** Planned and not known to be stored, by stream. */
  readonly inFlight: Readonly<Record<string, number>>;
  /** The last position that was drawn. */
  readonly lastPosition: number;
}

/** Positions behind the first that some lane has still to read: so many are looked into. */
const LOOKED_INTO = 20_000;

/**
 * From outside, by the log: what is planned and not settled, what no plan names although some lane has read past it (another
 * lane's, which is paused, or a gap that was filled since), and what nobody has read.
 */
export async function lookAtPending(
  session: Session,
  { newest, settled }: { newest: readonly Batch[]; settled: readonly SettledStream[] },
): Promise<Pending> {
  const inFlight: Record<string, number> = {};
  const oldest: number[] = [];
  let planned = 0;
  for (const log of settledLogs(newest, settled)) {
    const positions = await unsettledPositions(session, log);
    const events = Math.min(sizeOf(positions), slotsOpen(log));
    inFlight[log.stream] = events;
    planned += events;
    if (positions[0] !== undefined) oldest.push(positions[0]);
  }
  const passed = await passedOver(session, newest);
  const unread = await unreadBeyond(session, Math.max(0, ...newest.map(({ readTo }) => readTo)));
  const rows = await outboxRows(session, oldest);
  const since = [...rows.map(({ createdAtMs }) => createdAtMs), passed.oldestMs, unread.oldestMs].filter(
    (ms) => ms !== null,
  );
  return {
    events: planned + passed.events + unread.events,
    exact: passed.exact && unread.exact,
    oldestMs: since.length === 0 ? null : Math.min(...since),
    inFlight,
    lastPosition: unread.lastPosition,
  };
}

/** In `stream` ordering the first of a row's events may be stored, and the others not: slots tell them apart. */
function slotsOpen({ ordering, kind, lastSequence, settledTo }: SettledLog): number {
  // These two lie inside older plans.
  if (ordering !== 'stream' || kind === 'marker' || kind === 'found') return Number.POSITIVE_INFINITY;
  return Math.max(0, lastSequence - (settledTo ?? 0));
}

/** Rows that some lane has read past and no plan names: of many the first ones, and an estimate of the rest. */
async function passedOver(session: Session, newest: readonly Batch[]) {
  const from = Math.min(...newest.map(({ openFrom }) => openFrom));
  const end = Math.max(...newest.map(({ readTo }) => readTo));
  if (!(from <= end)) return { events: 0, exact: true, oldestMs: null };
  const to = Math.min(end, from + LOOKED_INTO - 1);
  const covered = await coverageOf(session, newest, { from, to, reopened: false });
  const { events, oldestMs } = await uncoveredRows(session, { from, to, covered });
  const share = events / (to - from + 1);
  return {
    events: to === end ? events : Math.round(share * (end - from + 1)),
    exact: to === end,
    oldestMs,
  };
}
