import type { Batch } from '../../batch-log/batch.ts';
import { unsettledBatches } from '../../batch-log/recover.ts';
import type { StreamState } from '../../jetstream/index.ts';
import {
  formatMultirange,
  type PositionRanges,
  parseMultirange,
  positionsOf,
  unionOf,
  within,
} from '../../postgres/position-ranges.ts';
import type { Session } from '../../postgres/session.ts';
import type { Adoption } from './lane.ts';
import type { LaneLog } from './lane-log.ts';
import type { Pause } from './lane-state.ts';
import { placementOf } from './placement.ts';
import { rowsBehind } from './rows-behind.ts';

/** Why a lane stops at a stream that is not the one its log speaks of, and what ends it. */
export function recreated(last: Batch, stream: StreamState): Pause {
  return {
    outcome: 'unavailable',
    reason: `stream '${stream.name}' is not the one planned for: it was created ${stream.created}, the batch log speaks of ${last.incarnation}. It was deleted and made anew, or restored. Go on with it: postcommit adopt --stream ${stream.name} (what was stored before counts as published), with --republish to publish again what the outbox still holds; or restore the old one`,
  };
}

/**
 * The rows that begin the log of a stream's new incarnation: what has to go onto it of what was planned before. They are
 * written at once and say so for good, so that a crash behind them changes nothing.
 */
export async function adoptStream(options: {
  readonly session: Session;
  readonly last: Batch;
  readonly stream: StreamState;
  readonly mode: Adoption;
  /** Of slots, as this leadership knows it, which may be more than the log does; null outside `stream` ordering. */
  readonly settledTo: number | null;
  readonly log: LaneLog;
}): Promise<Batch[]> {
  const { stream, log, mode, last } = options;
  const groups = mode === 'republish' ? await retained(options) : await unsettled(options);
  // What was settled was so in the old incarnation: of this one nothing is, and older rows are over.
  return rowsBehind(log, stream.lastSequence, groups).map((row) => ({
    ...row,
    settledTo: null,
    settledBatch: row.ordering === 'stream' ? null : last.batch,
  }));
}

/** By prefix: null has the events themselves, in any case, and first. */
type Groups = ReadonlyMap<string | null, PositionRanges>;

/** So many positions are looked at in one statement, which has a time limit. */
const POSITIONS_AT_ONCE = 500_000;

/** Positions planned for the stream that the outbox still holds, and that are not set aside. */
async function retained({ session, last }: { session: Session; last: Batch }): Promise<Groups> {
  const log = await session.query({
    text: `select subject_prefix, range_agg(positions) from postcommit.batches where stream = $1
            group by subject_prefix order by subject_prefix`,
    values: [last.stream],
  });
  const groups = new Map<string | null, PositionRanges>([[null, []]]);
  for (const [prefix, positions] of log)
    groups.set(prefix ?? null, await retainedAmong(session, parseMultirange(positions ?? '{}')));
  return groups;
}

async function retainedAmong(session: Session, planned: PositionRanges): Promise<PositionRanges> {
  const [edge] = await session.query({ text: 'select min(position), max(position) from postcommit.outbox' });
  const [lowest, highest] = [Number(edge?.[0] ?? 1), Number(edge?.[1] ?? 0)];
  const kept: PositionRanges[] = [];
  for (let from = lowest; from <= highest; from += POSITIONS_AT_ONCE) {
    const to = from + POSITIONS_AT_ONCE - 1;
    const part = within(planned, from, to);
    if (part.length > 0) kept.push(await retainedWithin(session, { part, from, to }));
  }
  return unionOf(kept);
}

async function retainedWithin(
  session: Session,
  { part, from, to }: { part: PositionRanges; from: number; to: number },
): Promise<PositionRanges> {
  const [row] = await session.query({
    text: `select range_agg(int8range(o.position, o.position, '[]')) from postcommit.outbox o
            where o.position between $1 and $2 and o.position <@ $3::int8multirange and ${NOT_SET_ASIDE}`,
    values: [from, to, formatMultirange(part)],
  });
  return parseMultirange(row?.[0] ?? '{}');
}

/** What was planned and is neither known to be stored nor set aside. */
export async function unsettled(options: {
  session: Session;
  last: Batch;
  settledTo: number | null;
}): Promise<Groups> {
  const { session, last } = options;
  const { batches, slotsSettledTo } = await unsettledBatches(session, last, {
    above: Number.MAX_SAFE_INTEGER,
  });
  const settledTo = Math.max(slotsSettledTo, options.settledTo ?? 0);
  const groups = new Map<string | null, Set<number>>([[null, new Set()]]);
  const add = (prefix: string | null, position: number) =>
    groups.set(prefix, (groups.get(prefix) ?? new Set()).add(position));
  for (const [sequence, { position, what, prefix }] of placementOf(batches.filter(isSlotted)).slots)
    if (what === 'event' && sequence > settledTo) add(prefix, position);
  for (const row of batches)
    if (!isSlotted(row)) for (const position of positionsOf(row.positions)) add(row.subjectPrefix, position);
  const unsettled = new Map<string | null, PositionRanges>();
  for (const [prefix, positions] of groups) unsettled.set(prefix, await notSetAside(session, positions));
  return unsettled;
}

async function notSetAside(session: Session, positions: ReadonlySet<number>): Promise<PositionRanges> {
  const [row] = await session.query({
    text: `select range_agg(int8range(o.position, o.position, '[]')) from unnest($1::int8[]) as o(position)
            where ${NOT_SET_ASIDE}`,
    values: [[...positions]],
  });
  return parseMultirange(row?.[0] ?? '{}');
}

function isSlotted({ ordering }: Batch): boolean {
  return ordering === 'stream';
}

const NOT_SET_ASIDE = `not exists (select from postcommit.dead_letters d
  where d.consumer is null and d.position = o.position and d.state in ('marking', 'parked', 'held', 'discarded'))`;
