import type { Batch } from '../batch-log/batch.ts';
import { batchBefore, type LogPage, logPages } from '../batch-log/log-pages.ts';
import { createPlannedTwice } from '../batch-log/planned-twice.ts';
import { lastRows } from '../batch-log/recover.ts';
import { differenceOf, type PositionRanges, unionOf } from '../postgres/position-ranges.ts';
import { createPositionSet, type PositionSet } from '../postgres/position-set.ts';
import type { Session } from '../postgres/session.ts';
import { leafPages } from './leaf-rows.ts';
import { reusedPositions } from './reused.ts';

export interface CensusRequest {
  readonly leaves: readonly { readonly segment: number; readonly upTo?: number }[];
  /** End as soon as every row is found in the log: the rest of the log is not compared with itself. */
  readonly rowsOnly: boolean;
}

/** What the rows of the outbox are, by the batch logs of all streams. `catchUp` goes on with it. */
export interface Census {
  readonly leaves: readonly LeafCensus[];
  /** Positions that rows of two leaves have: a plan can name one of them only. */
  readonly shared: PositionRanges;
  /** Positions that two rows of the log planned as `new`. */
  readonly plannedTwice: PositionRanges;
  /** The newest row of each stream's log that it knows of. */
  readonly seen: Map<string, number>;
}

export interface LeafCensus {
  readonly segment: number;
  /** Its lowest and highest position, beyond each other in an empty leaf. */
  readonly low: number;
  readonly high: number;
  readonly rows: PositionSet;
  /** In no plan. */
  readonly unplanned: PositionSet;
  /** In no plan and not parked. */
  readonly uncovered: PositionSet;
  /** Younger than the plan that names them. */
  readonly reused: PositionSet;
}

/** What a census does next, for whoever waits for it. */
export interface CensusProgress {
  readonly reading: 'outbox' | 'log';
  /** Rows of it read so far. */
  readonly rows: number;
  /** Of the way through it, from 0 to 1; undefined where nobody has measured it. */
  readonly share?: number;
}

/**
 * Compares rows and log: first the rows, then what was planned, so that a plan made meanwhile is seen. Statement by
 * statement, each short and its result small; whoever iterates may pause between two of them, for as long as no leaf
 * asked for is emptied. Linear in rows and log, and takes some bits of memory a row.
 */
export async function* takeCensus(
  session: Session,
  request: CensusRequest,
): AsyncGenerator<CensusProgress, Census> {
  const leaves = request.leaves.map(({ segment }) => emptyLeaf(segment));
  const shared = yield* readLeaves(session, request, leaves);
  const seen = new Map<string, number>();
  const twice = createPlannedTwice(session);
  let rows = 0;
  const logs: LogPart[] = [];
  for (const newest of await lastRows(session)) logs.push(await partOf(session, request, { newest, leaves }));
  const total = logs.reduce((sum, { size }) => sum + size, 0);
  for (const { stream, after } of logs) {
    seen.set(stream, after);
    for await (const page of logPages(session, { stream, after })) {
      rows += page.rows;
      seen.set(stream, page.to);
      for (const leaf of leaves) await compare(session, leaf, page);
      if (!request.rowsOnly) await twice.compare(page);
      yield { reading: 'log', rows, share: Math.min(1, rows / Math.max(total, 1)) };
      if (request.rowsOnly && leaves.every(({ uncovered }) => uncovered.size === 0)) break;
    }
  }
  return { leaves, shared, plannedTwice: twice.positions, seen };
}

/** What was planned since it was taken. A row that it did not see is not in it. */
export async function catchUp(session: Session, { leaves, seen }: Census): Promise<void> {
  for (const { stream } of await lastRows(session)) {
    for await (const page of logPages(session, { stream, after: seen.get(stream) ?? 0 })) {
      for (const leaf of leaves) await compare(session, leaf, page);
      seen.set(stream, page.to);
    }
  }
}

interface Leaf extends Omit<LeafCensus, 'low' | 'high'> {
  low: number;
  high: number;
}

function emptyLeaf(segment: number): Leaf {
  return {
    segment,
    rows: createPositionSet(),
    unplanned: createPositionSet(),
    uncovered: createPositionSet(),
    reused: createPositionSet(),
    low: Number.POSITIVE_INFINITY,
    high: Number.NEGATIVE_INFINITY,
  };
}

/** Returns the positions that rows of two leaves have. */
async function* readLeaves(
  session: Session,
  request: CensusRequest,
  leaves: readonly Leaf[],
): AsyncGenerator<CensusProgress, PositionRanges> {
  const all = createPositionSet();
  let shared: PositionRanges = [];
  const way = await measureLeaves(session, leaves);
  for (const leaf of leaves) {
    const asked = request.leaves.find(({ segment }) => segment === leaf.segment);
    for await (const page of leafPages(session, { ...asked, segment: leaf.segment })) {
      for (const set of [leaf.rows, leaf.unplanned, leaf.uncovered]) set.add(page);
      leaf.low = Math.min(leaf.low, page[0] as number);
      leaf.high = page.at(-1) as number;
      const held = all.add(page);
      if (held.length > 0) shared = unionOf([shared, held]);
      yield { reading: 'outbox', rows: all.size, share: way.shareAt(leaf.segment, leaf.high) };
    }
  }
  return shared;
}

/** How far one has come through leaves that are read one after the other, by their positions. */
async function measureLeaves(session: Session, leaves: readonly Leaf[]) {
  const ends: { segment: number; low: number; high: number }[] = [];
  for (const { segment } of leaves) {
    const [row] = await session.query({
      text: `select min(position), max(position) from postcommit.outbox_${segment}`,
    });
    if (row?.[0] != null) ends.push({ segment, low: Number(row[0]), high: Number(row[1]) });
  }
  const lengthOf = ({ low, high }: { low: number; high: number }) => high - low + 1;
  const whole = ends.reduce((sum, end) => sum + lengthOf(end), 0);
  return {
    shareAt(segment: number, position: number): number {
      let passed = 0;
      for (const end of ends) {
        if (end.segment === segment) return Math.min(1, (passed + position - end.low + 1) / whole);
        passed += lengthOf(end);
      }
      return 1;
    },
  };
}

/** What is read of a stream's log. */
interface LogPart {
  readonly stream: string;
  /** From the row behind this batch on. */
  readonly after: number;
  /** About so many rows: batch numbers rise by one, and the oldest are pruned. */
  readonly size: number;
}

async function partOf(
  session: Session,
  { rowsOnly }: CensusRequest,
  { newest, leaves }: { newest: Batch; leaves: readonly Leaf[] },
): Promise<LogPart> {
  const { stream, batch } = newest;
  const after = rowsOnly ? await startFor(session, newest, leaves) : 0;
  const [first] = await session.query({
    text: 'select batch from postcommit.batches where stream = $1 and batch > $2 order by batch limit 1',
    values: [stream, after],
  });
  return { stream, after, size: first === undefined ? 0 : batch - Number(first[0]) + 1 };
}

/** Below the first row that can name one of theirs. */
async function startFor(session: Session, newest: Batch, leaves: readonly Leaf[]): Promise<number> {
  const lowest = Math.min(...leaves.map(({ low }) => low));
  return Number.isFinite(lowest) ? batchBefore(session, newest, lowest) : newest.batch;
}

async function compare(session: Session, leaf: LeafCensus, page: LogPage): Promise<void> {
  const { unplanned, uncovered, reused } = leaf;
  const before = unplanned.size;
  for (const plans of [page.fresh, page.again]) {
    unplanned.delete(plans);
    uncovered.delete(plans);
  }
  uncovered.delete(page.parked);
  // What was named before may be named again, by a plan that is young enough.
  if (unplanned.size === before && reused.size === 0) return;
  const olderThanTheirRows = await reusedPositions(session, leaf, page);
  reused.delete(differenceOf(page.fresh, olderThanTheirRows));
  reused.add(olderThanTheirRows);
}
