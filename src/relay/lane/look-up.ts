import type { Batch } from '../../batch-log/batch.ts';
import { unsettledBatches } from '../../batch-log/recover.ts';
import { settledPositions } from '../../dead-letters/letters.ts';
import { type ReadBack, readBack, type StreamState } from '../../jetstream/index.ts';
import { positionsOf } from '../../postgres/position-ranges.ts';
import type { Session } from '../../postgres/session.ts';
import { subjectsAt } from './events-at.ts';
import type { OutletContext } from './outlet.ts';
import { placementOf } from './placement.ts';
import { type MessageName, nameOf, type PlannedMessage } from './planned-message.ts';

/** What the stream says of events that the log does not know to be stored, where it plans no slots. */
export interface LookUp {
  /** Found in the stream, with its sequence. */
  readonly stored: ReadonlyMap<MessageName, number>;
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
  readonly events: ReadonlyMap<MessageName, { readonly batch: number; readonly sequence: number | null }>;
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

export interface Missing extends PlannedMessage {
  readonly batch: number;
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
  await leaveOutSettled(session, last.stream, doubtful);
  const lowered = lower(doubtful, rewoundTo);
  const before = isWhole ? options.seen : undefined;
  const subjects = await subjectsAt(session, positionsWithCopies(doubtful));
  const stored = await findIn(stream, lowered.doubtful, { link, source, signal, before, subjects });
  const acknowledged = isWhole ? (options.settledBatch ?? 0) : 0;
  const missing = [...doubtful]
    .filter(([name, one]) => !stored.has(name) && !(one.batch <= acknowledged && mayBeGone(stream, one)))
    .map(([, { position, batch, replay, prefix }]) => ({ position, batch, replay, prefix }));
  const settledBatch = last.settledBatch ?? 0;
  const lost = missing.filter(({ batch }) => batch <= settledBatch).length;
  const events = new Map(
    [...doubtful].map(([name, { batch }]) => [name, { batch, sequence: stored.get(name) ?? null }]),
  );
  const seen = { end: stream.lastSequence, events };
  return { stored, missing, asOfMs, lost, bound: lowered.bound, seen };
}

/** What was set aside, or taken over by another stream. A copy under a prefix has no part in either. */
async function leaveOutSettled(session: Session, stream: string, doubtful: Map<MessageName, Doubtful>) {
  const positions = [...doubtful.values()].map(({ position }) => position);
  for (const { position, elsewhere } of await settledPositions(session, stream, positions))
    if (!elsewhere || doubtful.get(position)?.replay === false) doubtful.delete(position);
}

/** Events that have a copy under a prefix in doubt: a message's position does not say which of them it is. */
function positionsWithCopies(doubtful: ReadonlyMap<MessageName, Doubtful>): number[] {
  const copies = [...doubtful.values()].filter(({ prefix }) => prefix !== null);
  return [...new Set(copies.map(({ position }) => position))];
}

/** Messages are deleted where it lay: consumed, aged, by hand. */
function mayBeGone({ firstSequence, lastSequence, messages }: StreamState, one: Doubtful): boolean {
  return firstSequence > one.firstSequence || messages < lastSequence - firstSequence + 1;
}

/** What was stored since a stream lost its tail lies behind what it was left with. */
function lower(
  doubtful: ReadonlyMap<MessageName, Doubtful>,
  rewoundTo: number,
): { doubtful: Map<MessageName, Doubtful>; bound: number } {
  let bound = 0;
  const lowered = new Map<MessageName, Doubtful>();
  for (const [name, one] of doubtful) {
    bound = Math.max(bound, one.firstSequence);
    lowered.set(name, { ...one, firstSequence: Math.min(one.firstSequence, rewoundTo + 1) });
  }
  return { doubtful: lowered, bound };
}

/** Reads the stream from where the first of them may lie; of what the last look has seen, only behind that. */
async function findIn(
  stream: StreamState,
  doubtful: ReadonlyMap<MessageName, Doubtful>,
  options: Pick<OutletContext, 'link' | 'source'> & {
    signal: AbortSignal;
    before: Seen | undefined;
    subjects: ReadonlyMap<number, string>;
  },
): Promise<Map<MessageName, number>> {
  const { link, source, signal, before, subjects } = options;
  const { stored, wanted } = recall(doubtful, before);
  const nameIn = namer(doubtful, { source, subjects });
  let from = Number.POSITIVE_INFINITY;
  for (const firstSequence of wanted.values()) from = Math.min(from, firstSequence);
  for (let at = from; at <= stream.lastSequence; at += READ_AT_ONCE) {
    const to = Math.min(stream.lastSequence, at + READ_AT_ONCE - 1);
    for (const message of await readBack(link, { stream: stream.name, from: at, to, signal })) {
      const name = nameIn(message);
      const firstSequence = name === null ? undefined : wanted.get(name);
      if (name !== null && firstSequence !== undefined && message.sequence >= firstSequence)
        stored.set(name, message.sequence);
    }
  }
  return stored;
}

/** What the last look has found, and from where the others are to be looked for. */
function recall(doubtful: ReadonlyMap<MessageName, Doubtful>, before: Seen | undefined) {
  const stored = new Map<MessageName, number>();
  const wanted = new Map<MessageName, number>();
  for (const [name, { batch, firstSequence }] of doubtful) {
    const known = before?.events.get(name);
    if (before === undefined || known?.batch !== batch) wanted.set(name, firstSequence);
    else if (known.sequence !== null) stored.set(name, known.sequence);
    else wanted.set(name, Math.max(firstSequence, before.end + 1));
  }
  return { stored, wanted };
}

/**
 * Which of those in doubt a message is; null for markers, other writers' messages and what is gone. Where copies under a
 * prefix are among them the subject decides, and where that of the event is not known any more, the longest prefix.
 */
function namer(
  doubtful: ReadonlyMap<MessageName, Doubtful>,
  { source, subjects }: { source: string; subjects: ReadonlyMap<number, string> },
): (message: ReadBack) => MessageName | null {
  const prefixes = new Map<number, string[]>();
  for (const { position, prefix } of doubtful.values())
    if (prefix !== null) prefixes.set(position, [...(prefixes.get(position) ?? []), prefix]);
  return (message) => {
    if (message.kind === 'gone' || message.source !== source || message.skipped !== null) return null;
    const { position, subject } = message;
    const candidates = position === null ? undefined : prefixes.get(position);
    if (position === null || candidates === undefined) return position;
    const own = subjects.get(position);
    if (subject === own) return position;
    const fits = (prefix: string) =>
      own === undefined ? subject.startsWith(`${prefix}.`) : subject === `${prefix}.${own}`;
    const [prefix = null] = candidates.filter(fits).sort((a, b) => b.length - a.length);
    return prefix === null && own !== undefined ? null : nameOf({ position, prefix });
  };
}

interface Doubtful extends Missing {
  /** It may lie from there on. */
  readonly firstSequence: number;
}

/** A later plan of the same message keeps the earliest bound: either may be stored. */
function doubtfulOf(batches: readonly Batch[], settledTo: number): Map<MessageName, Doubtful> {
  const doubtful = new Map<MessageName, Doubtful>();
  const slotted = batches.filter(({ ordering }) => ordering === 'stream');
  for (const [sequence, { what, ...message }] of placementOf(slotted).slots)
    if (what === 'event' && sequence > settledTo)
      doubtful.set(nameOf(message), {
        ...message,
        batch: batchAt(slotted, sequence),
        firstSequence: settledTo + 1,
      });
  const bounds = boundsOf(batches);
  for (const { ordering, kind, batch, positions, subjectPrefix: prefix } of batches) {
    if (ordering === 'stream') continue;
    const replay = kind === 'replay';
    const own = bounds.get(batch) ?? 0;
    for (const position of positionsOf(positions)) {
      const name = nameOf({ position, prefix });
      const before = doubtful.get(name);
      const firstSequence = replay || before === undefined ? own : Math.min(own, before.firstSequence);
      doubtful.delete(name); // Its turn is that of its newest plan.
      doubtful.set(name, { position, batch, firstSequence, replay, prefix });
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
