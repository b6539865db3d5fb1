import { type NamingRow, rowsNaming } from '../batch-log/planned-twice.ts';
import { lastRows } from '../batch-log/recover.ts';
import { settledLogs, unsettledPositions } from '../batch-log/settled.ts';
import { sleep } from '../lifecycle/abort.ts';
import {
  differenceOf,
  firstPositions,
  type PositionRanges,
  positionsOf,
  sizeOf,
  unionOf,
} from '../postgres/position-ranges.ts';
import type { PositionSet } from '../postgres/position-set.ts';
import type { Session } from '../postgres/session.ts';
import { type Census, type CensusProgress, catchUp, takeCensus } from './census.ts';
import { SEGMENTS } from './live-segments.ts';

/** What the log says of every row in the outbox, without the content of any. */
export interface AuditReport {
  readonly rows: number;
  /** In a plan that means them. */
  readonly planned: number;
  /** Set aside: dead letters. */
  readonly parked: number;
  /** No reader has come by yet, or so the log says. */
  readonly waiting: number;
  /**
   * Of those waiting: visible for a while, at or below a position that some reader has read. They wait for a lane that is
   * behind the others or paused, or were passed over: only the leader knows.
   */
  readonly unclear: number;
  /** In no plan, and below everything that a reader will look at. */
  readonly uncovered: Findings<FoundRow>;
  /** Younger than the plan that names their position: it was handed out again by a sequence that was set back. */
  readonly reused: Findings<FoundRow>;
  /** Positions that two rows have. */
  readonly shared: Findings<FoundRow>;
  /** Positions that two rows of the log planned as `new`. */
  readonly plannedTwice: Findings<TwicePlanned>;
  readonly streams: readonly StreamReport[];
}

/** How many there are, and the first of them. */
export interface Findings<Item> {
  readonly count: number;
  readonly first: readonly Item[];
}

export interface FoundRow {
  readonly position: number;
  readonly segment: number;
  readonly createdAt: string;
  readonly subject: string;
}

export interface TwicePlanned {
  readonly position: number;
  readonly rows: readonly { readonly stream: string; readonly batch: number }[];
}

/** As of its newest row in the log. */
export interface StreamReport {
  readonly stream: string;
  readonly settledTo: number | null;
  readonly settledBatch: number | null;
  readonly plannedNotSettled: number;
  readonly lastPlannedAt: string;
}

/** A look may have read them and be about to plan them; a leaf may just have been emptied. */
const SECOND_LOOK_AFTER_MS = 1_000;
/** A visible row that is younger than this is about to be read. */
const READ_WITHIN_S = 10;
const NAMED = 100;
const RANGES = 10_000;

/** Looks through the whole outbox. Changes nothing, and keeps nobody waiting. */
export async function auditOutbox(
  session: Session,
  onProgress: (progress: CensusProgress) => void = () => undefined,
): Promise<AuditReport> {
  const census = await takeWhole(session, onProgress);
  if (census.leaves.some(({ uncovered, reused }) => uncovered.size + reused.size > 0)) {
    await sleep(SECOND_LOOK_AFTER_MS);
    await catchUp(session, census);
    await forgetEmptied(session, census);
  }
  const newest = await lastRows(session);
  const openFrom = Math.min(...newest.map((row) => row.openFrom));
  const readTo = Math.max(...newest.map((row) => row.readTo));
  // Without a log nobody has read anything.
  const readFrom = newest.length === 0 ? Number.MIN_SAFE_INTEGER : openFrom;
  const passed = census.leaves.map(({ segment, uncovered }) => ({
    segment,
    ...splitAt(uncovered, readFrom),
  }));
  const total = (count: (leaf: Census['leaves'][number]) => number) =>
    census.leaves.reduce((sum, leaf) => sum + count(leaf), 0);
  const rows = total((leaf) => leaf.rows.size);
  const unplanned = total((leaf) => leaf.unplanned.size);
  const uncovered = total((leaf) => leaf.uncovered.size);
  const reused = total((leaf) => leaf.reused.size);
  const lost = passed.reduce((sum, { below }) => sum + sizeOf(below), 0);
  const twice = await plannedTwice(session, census.plannedTwice);
  return {
    rows,
    planned: rows - unplanned - reused,
    parked: unplanned - uncovered,
    waiting: uncovered - lost,
    unclear: await countUnclear(session, passed, readTo),
    uncovered: { count: lost, first: await describe(session, unionOf(passed.map(({ below }) => below))) },
    reused: {
      count: reused,
      first: await describe(session, unionOf(census.leaves.map((leaf) => leaf.reused.ranges(RANGES)))),
    },
    shared: { count: sizeOf(census.shared), first: await describe(session, census.shared) },
    plannedTwice: twice,
    streams: await describeStreams(session),
  };
}

async function takeWhole(session: Session, onProgress: (progress: CensusProgress) => void): Promise<Census> {
  const steps = takeCensus(session, { leaves: SEGMENTS.map((segment) => ({ segment })), rowsOnly: false });
  for (;;) {
    const { done, value } = await steps.next();
    if (done === true) return value;
    onProgress(value);
  }
}

/** Its log rows may have gone with it before they were read. */
async function forgetEmptied(session: Session, { leaves }: Census): Promise<void> {
  for (const { segment, low, rows, unplanned, uncovered, reused } of leaves) {
    if (uncovered.size + reused.size === 0) continue;
    const [lowest] = await session.query({
      text: `select 1 from postcommit.outbox_${segment} where position = $1`,
      values: [low],
    });
    if (lowest !== undefined) continue;
    for (const set of [rows, unplanned, uncovered, reused]) set.delete(EVERYTHING);
  }
}

const EVERYTHING = [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER];

function splitAt(set: PositionSet, from: number): { below: PositionRanges; above: PositionRanges } {
  const ranges = set.ranges();
  const above = [from, Number.MAX_SAFE_INTEGER];
  const below = differenceOf(ranges, above);
  return { below, above: differenceOf(ranges, below) };
}

async function countUnclear(
  session: Session,
  leaves: readonly { readonly segment: number; readonly above: PositionRanges }[],
  readTo: number,
): Promise<number> {
  let count = 0;
  for (const { segment, above } of leaves) {
    const read = differenceOf(above, [readTo + 1, Number.MAX_SAFE_INTEGER]).slice(0, 2 * RANGES);
    if (read.length === 0) continue;
    const [row] = await session.query({
      text: `select count(*) from unnest($1::int8[], $2::int8[]) range(low, high)
              join postcommit.outbox_${segment} o on o.position between range.low and range.high
             where o.created_at < clock_timestamp() - interval '${READ_WITHIN_S} seconds'`,
      values: [read.filter((_, i) => i % 2 === 0), read.filter((_, i) => i % 2 === 1)],
    });
    count += Number(row?.[0] ?? 0);
  }
  return count;
}

async function describe(session: Session, ranges: PositionRanges): Promise<FoundRow[]> {
  const positions = firstPositions(ranges, NAMED);
  if (positions.length === 0) return [];
  const rows = await session.query({
    text: `select position, segment, to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), subject
             from postcommit.outbox where position = any($1::int8[]) order by position, segment`,
    values: [positions],
  });
  return rows.map(([position, segment, createdAt, subject]) => ({
    position: Number(position),
    segment: Number(segment),
    createdAt: createdAt as string,
    subject: subject as string,
  }));
}

/** Plans that are older than the row at their position mean an earlier event: they do not count. */
async function plannedTwice(session: Session, positions: PositionRanges): Promise<Findings<TwicePlanned>> {
  if (positions.length === 0) return { count: 0, first: [] };
  const named = await rowsNaming(session, positions);
  const byPosition = new Map<number, NamingRow[]>();
  for (const row of named)
    for (const position of positionsOf(row.positions)) {
      const rows = byPosition.get(position);
      if (rows === undefined) byPosition.set(position, [row]);
      else rows.push(row);
    }
  const innocent = [...byPosition].filter(([, rows]) => rows.length < 2).map(([position]) => position);
  const first = [...byPosition]
    .filter(([, rows]) => rows.length > 1)
    .sort(([a], [b]) => a - b)
    .map(([position, rows]) => ({
      position,
      rows: rows.map(({ stream, batch }) => ({ stream, batch })),
    }));
  return { count: sizeOf(positions) - innocent.length, first: first.slice(0, NAMED) };
}

async function describeStreams(session: Session): Promise<StreamReport[]> {
  const streams: StreamReport[] = [];
  for (const log of settledLogs(await lastRows(session), [])) {
    const { stream, batch, settledTo, settledBatch } = log;
    const [row] = await session.query({
      text: `select to_char(planned_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
               from postcommit.batches where stream = $1 and batch = $2`,
      values: [stream, batch],
    });
    streams.push({
      stream,
      settledTo,
      settledBatch,
      plannedNotSettled: sizeOf(await unsettledPositions(session, log)),
      lastPlannedAt: row?.[0] ?? '',
    });
  }
  return streams;
}
