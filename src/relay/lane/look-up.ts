import type { Batch } from '../../batch-log/batch.ts';
import { unsettledBatches } from '../../batch-log/recover.ts';
import { settledPositions } from '../../dead-letters/letters.ts';
import { type ReadBack, readBack, type StreamState } from '../../jetstream/index.ts';
import { positionsOf } from '../../postgres/position-ranges.ts';
import type { OutletContext } from './outlet.ts';
import { placementOf } from './placement.ts';

/** What the stream says of events that the log does not know to be stored, where it plans no slots. */
export interface LookUp {
  /** Found in the stream: position to sequence. */
  readonly stored: ReadonlyMap<number, number>;
  /** Not in the stream, in the order in which they were planned. */
  readonly missing: readonly Missing[];
  /** Acknowledged events among the missing: the stream has lost them. */
  readonly lost: number;
  /** Taken before the stream was read: what was not stored by then may have been since. */
  readonly asOfMs: number;
  /** Where the log takes the last of them to begin: beyond the stream's end, once that has lost its tail. */
  readonly bound: number;
  /** For the next look on the same connection. */
  readonly seen: Seen;
}

/** What a look has found of events: what it did not find can only have been stored behind its end since. */
export interface Seen {
  readonly end: number;
  readonly events: ReadonlyMap<number, { readonly batch: number; readonly sequence: number | null }>;
}

export interface LookUpOptions {
  readonly last: Batch;
  readonly stream: StreamState;
  readonly signal: AbortSignal;
  /** Known to this leadership, which may be more than the log does. */
  readonly settledTo?: number | null;
  /** Up to this batch number this leadership saw everything acknowledged. */
  readonly settledBatch?: number | null;
  /** By the last look, if the stream cannot have lost anything since. */
  readonly seen?: Seen | undefined;
  /** An answer has shown that the stream was no longer than this once, and lost what was behind it. */
  readonly rewoundTo?: number | undefined;
}

export interface Missing {
  readonly position: number;
  readonly batch: number;
  readonly replay: boolean;
}

/** Messages read at a time, so that a busy neighbour in the stream costs time and no memory. */
const READ_AT_ONCE = 4_096;

export async function lookUpUnsettled(
  { session, link, source }: OutletContext,
  options: LookUpOptions,
): Promise<LookUp> {
  const { last, stream, signal, rewoundTo = Number.MAX_SAFE_INTEGER } = options;
  const asOfMs = performance.now();
  const settledTo = Math.max(last.settledTo ?? 0, options.settledTo ?? 0);
  const above = settledTo > stream.lastSequence ? Math.min(stream.lastSequence, rewoundTo) : rewoundTo;
  const isWhole = above === Number.MAX_SAFE_INTEGER;
  const { batches, slotsSettledTo } = await unsettledBatches(session, last, { above });
  const doubtful = doubtfulOf(batches, slotsSettledTo);
  for (const { position, elsewhere } of await settledPositions(session, last.stream, [...doubtful.keys()]))
    if (!elsewhere || doubtful.get(position)?.replay === false) doubtful.delete(position);
  const lowered = lower(doubtful, rewoundTo);
  const before = isWhole ? options.seen : undefined;
  const stored = await findIn(stream, lowered.doubtful, { link, source, signal, before });
  const acknowledged = isWhole ? (options.settledBatch ?? 0) : 0;
  const missing = [...doubtful]
    .filter(
      ([position, one]) => !stored.has(position) && !(one.batch <= acknowledged && mayBeGone(stream, one)),
    )
    .map(([position, { batch, replay }]) => ({ position, batch, replay }));
  const settledBatch = last.settledBatch ?? 0;
  const lost = missing.filter(({ batch }) => batch <= settledBatch).length;
  const events = new Map(
    [...doubtful].map(([position, { batch }]) => [
      position,
      { batch, sequence: stored.get(position) ?? null },
    ]),
  );
  const seen = { end: stream.lastSequence, events };
  return { stored, missing, asOfMs, lost, bound: lowered.bound, seen };
}

/** Messages are deleted where it lay: consumed, aged, by hand. */
function mayBeGone({ firstSequence, lastSequence, messages }: StreamState, one: Doubtful): boolean {
  return firstSequence > one.firstSequence || messages < lastSequence - firstSequence + 1;
}

/** What was stored since a stream lost its tail lies behind what it was left with. */
function lower(
  doubtful: ReadonlyMap<number, Doubtful>,
  rewoundTo: number,
): { doubtful: Map<number, Doubtful>; bound: number } {
  let bound = 0;
  const lowered = new Map<number, Doubtful>();
  for (const [position, one] of doubtful) {
    bound = Math.max(bound, one.firstSequence);
    lowered.set(position, { ...one, firstSequence: Math.min(one.firstSequence, rewoundTo + 1) });
  }
  return { doubtful: lowered, bound };
}

/** Reads the stream from where the first of them may lie; of what the last look has seen, only behind that. */
async function findIn(
  stream: StreamState,
  doubtful: ReadonlyMap<number, Doubtful>,
  options: Pick<OutletContext, 'link' | 'source'> & { signal: AbortSignal; before: Seen | undefined },
): Promise<Map<number, number>> {
  const { link, source, signal, before } = options;
  const { stored, wanted } = recall(doubtful, before);
  let from = Number.POSITIVE_INFINITY;
  for (const firstSequence of wanted.values()) from = Math.min(from, firstSequence);
  for (let at = from; at <= stream.lastSequence; at += READ_AT_ONCE) {
    const to = Math.min(stream.lastSequence, at + READ_AT_ONCE - 1);
    for (const message of await readBack(link, { stream: stream.name, from: at, to, signal })) {
      const position = positionOf(message, source);
      const firstSequence = position === null ? undefined : wanted.get(position);
      if (position !== null && firstSequence !== undefined && message.sequence >= firstSequence)
        stored.set(position, message.sequence);
    }
  }
  return stored;
}

/** What the last look has found, and from where the others are to be looked for. */
function recall(doubtful: ReadonlyMap<number, Doubtful>, before: Seen | undefined) {
  const stored = new Map<number, number>();
  const wanted = new Map<number, number>();
  for (const [position, { batch, firstSequence }] of doubtful) {
    const known = before?.events.get(position);
    if (before === undefined || known?.batch !== batch) wanted.set(position, firstSequence);
    else if (known.sequence !== null) stored.set(position, known.sequence);
    else wanted.set(position, Math.max(firstSequence, before.end + 1));
  }
  return { stored, wanted };
}

/** Of an event of ours; null for markers, other writers' messages and what is gone. */
function positionOf(message: ReadBack, source: string): number | null {
  if (message.kind === 'gone' || message.source !== source || message.skipped !== null) return null;
  return message.position;
}

interface Doubtful {
  readonly batch: number;
  readonly firstSequence: number;
  readonly replay: boolean;
}

/** Position to where it may lie from. A later plan of the same event keeps the earliest bound: either may be stored. */
function doubtfulOf(batches: readonly Batch[], settledTo: number): Map<number, Doubtful> {
  const doubtful = new Map<number, Doubtful>();
  const slotted = batches.filter(({ ordering }) => ordering === 'stream');
  for (const [sequence, { position, what, replay }] of placementOf(slotted).slots)
    if (what === 'event' && sequence > settledTo)
      doubtful.set(position, { batch: batchAt(slotted, sequence), firstSequence: settledTo + 1, replay });
  const bounds = boundsOf(batches);
  for (const { ordering, kind, batch, positions } of batches) {
    if (ordering === 'stream') continue;
    const replay = kind === 'replay';
    const own = bounds.get(batch) ?? 0;
    for (const position of positionsOf(positions)) {
      const before = doubtful.get(position);
      const bound = replay || before === undefined ? own : Math.min(own, before.firstSequence);
      doubtful.delete(position); // Its turn is that of its newest plan.
      doubtful.set(position, { batch, firstSequence: bound, replay });
    }
  }
  return doubtful;
}

/** By batch. A stream that lost its tail stores anew, below where older rows begin: a later row with a lower bound says so. */
function boundsOf(batches: readonly Batch[]): Map<number, number> {
  const bounds = new Map<number, number>();
  let lowest = Number.POSITIVE_INFINITY;
  for (const { ordering, batch, firstSequence } of batches.toReversed()) {
    if (ordering === 'stream') continue;
    lowest = Math.min(lowest, firstSequence);
    bounds.set(batch, lowest);
  }
  return bounds;
}

function batchAt(batches: readonly Batch[], sequence: number): number {
  return batches.find((row) => row.firstSequence <= sequence && sequence <= row.lastSequence)?.batch ?? 0;
}
