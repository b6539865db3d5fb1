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
  options: { last: Batch; stream: StreamState; signal: AbortSignal; settledTo?: number | null },
): Promise<LookUp> {
  const { last, stream, signal } = options;
  const asOfMs = performance.now();
  const settledTo = Math.max(last.settledTo ?? 0, options.settledTo ?? 0);
  const above = settledTo > stream.lastSequence ? stream.lastSequence : Number.MAX_SAFE_INTEGER;
  const { batches, slotsSettledTo } = await unsettledBatches(session, last, { above });
  const doubtful = doubtfulOf(batches, slotsSettledTo);
  for (const position of await settledPositions(session, [...doubtful.keys()])) doubtful.delete(position);
  const stored = await findIn(stream, doubtful, { link, source, signal });
  const missing = [...doubtful]
    .filter(([position]) => !stored.has(position))
    .map(([position, { batch, replay }]) => ({ position, batch, replay }));
  const settledBatch = last.settledBatch ?? 0;
  return { stored, missing, asOfMs, lost: missing.filter(({ batch }) => batch <= settledBatch).length };
}

/** Reads the stream from where the first of them may lie. */
async function findIn(
  stream: StreamState,
  doubtful: ReadonlyMap<number, Doubtful>,
  { link, source, signal }: Pick<OutletContext, 'link' | 'source'> & { signal: AbortSignal },
): Promise<Map<number, number>> {
  const stored = new Map<number, number>();
  let from = Number.POSITIVE_INFINITY;
  for (const { firstSequence } of doubtful.values()) from = Math.min(from, firstSequence);
  for (let at = from; at <= stream.lastSequence; at += READ_AT_ONCE) {
    const to = Math.min(stream.lastSequence, at + READ_AT_ONCE - 1);
    for (const message of await readBack(link, { stream: stream.name, from: at, to, signal })) {
      const position = positionOf(message, source);
      const planned = position === null ? undefined : doubtful.get(position);
      if (position !== null && planned !== undefined && message.sequence >= planned.firstSequence)
        stored.set(position, message.sequence);
    }
  }
  return stored;
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
  for (const { ordering, kind, batch, firstSequence, positions } of batches) {
    if (ordering === 'stream') continue;
    const replay = kind === 'replay';
    for (const position of positionsOf(positions)) {
      const before = doubtful.get(position);
      const bound = replay || before === undefined ? firstSequence : before.firstSequence;
      doubtful.delete(position); // Its turn is that of its newest plan.
      doubtful.set(position, { batch, firstSequence: bound, replay });
    }
  }
  return doubtful;
}

function batchAt(batches: readonly Batch[], sequence: number): number {
  return batches.find((row) => row.firstSequence <= sequence && sequence <= row.lastSequence)?.batch ?? 0;
}
