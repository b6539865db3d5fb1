import type { Batch } from '../../batch-log/batch.ts';
import { batchesFrom, type LogSpan, logSpan } from '../../batch-log/recover.ts';
import { type BrokerLink, type ReadBack, readBack, type StreamState } from '../../jetstream/index.ts';
import type { Session } from '../../postgres/session.ts';
import { type Placement, type PlannedSlot, placementOf } from '../lane/placement.ts';
import type { PlannedMessage } from '../lane/planned-message.ts';
import { disown, type Timeline, traceBeyond, traceTimeline } from './timeline.ts';
import { type Found, judge, type Verdict } from './verdict.ts';

/**
 * Reconciliation compares the batch log with the stream. It starts from the log alone, so that it is the same after
 * a crash, a takeover, a reconnect and a bad answer:
 *   1. the highest slot known to be settled must still hold its message, else the tail was lost and perhaps refilled;
 *   2. every message between there and the end of the plan is read back and judged;
 *   3. what lost its slot is planned again behind the end; what lies beyond the stream's end is sent again at the same
 *      sequences, and a marker fills what no event can fill there any more.
 */
export interface Reconciliation {
  /** The stream's last sequence: everything up to it is decided. */
  readonly decided: number;
  /** Highest sequence that holds our message. */
  readonly settledTo: number | null;
  /** What the sequences behind `decided` are to be filled with, in order, without holes. */
  readonly refill: readonly Refill[];
  readonly displaced: readonly PlannedMessage[];
  readonly found: readonly Found[];
  readonly placement: Placement;
  /** Messages of other writers, in the plan and beyond it, that were not counted before. */
  readonly foreign: number;
  /** Messages in our name whose events the database has lost (a failover to a standby that was behind, a restore). */
  readonly strays: number;
  /** Events that are stored although the log does not plan them: it lost their rows. They are among the `found`. */
  readonly unplanned: readonly number[];
  /** The highest position that such messages carry: never to be drawn again. */
  readonly highestPosition: number;
  /** Acknowledged events that the stream has lost. */
  readonly lost: number;
  /** Events found stored that were not known to be. */
  readonly newlySettled: number;
}

export interface Refill extends PlannedMessage {
  readonly sequence: number;
  readonly what: 'event' | 'marker';
  /** The log does not say yet that this slot is a marker's. */
  readonly unlogged: boolean;
}

/** What this leadership knew before, so that nothing is counted twice. The judgement itself rests on the log alone. */
export interface Known {
  /** Highest sequence confirmed to hold our message. */
  readonly settledTo: number | null;
  /** Everything up to this sequence was judged before. */
  readonly decided: number;
  /** Confirmed above `settledTo`: an answer came before that of an earlier message. */
  readonly isSettled?: (sequence: number) => boolean;
}

export interface ReconcileContext {
  readonly session: Session;
  readonly link: BrokerLink;
  readonly stream: StreamState;
  readonly source: string;
  /** The newest row of the stream's log, of this incarnation; undefined if nothing was ever planned. */
  readonly last: Batch | undefined;
  /** Undefined at the first comparison of a leadership. */
  readonly known: Known | undefined;
  readonly signal: AbortSignal;
}

/** How far below a slot that no longer holds its message the first look goes; it doubles from there. */
const LOOK_BACK = 1_024;

export async function reconcile(context: ReconcileContext): Promise<Reconciliation> {
  const { session, stream, last } = context;
  if (last === undefined) return firstPlan(stream);
  const span = await logSpan(session, stream.name, stream.created);
  const { end } = span;
  const inspection = await inspect(context, last, span);
  const { placement, settledBefore } = inspection;
  const { verdict } = inspection;
  const known: Known = context.known ?? { settledTo: last.settledTo, decided: 0 };
  const settledTo = known.settledTo ?? 0;
  const beyond = await readBeyond(context, Math.max(end, known.decided));
  // A slot that has lost its event to a stranger is news, wherever it lies.
  const foreign = verdict.foreign.filter(
    (at) => at > known.decided || placement.slots.get(at)?.what === 'event',
  );
  const found = [...verdict.found, ...beyond.found];
  const refill = refillOf({ from: stream.lastSequence + 1, to: end, span, placement, found });
  return {
    decided: stream.lastSequence,
    settledTo: highest([...verdict.ours, Math.min(settledBefore ?? 0, stream.lastSequence)]),
    refill,
    displaced: verdict.displaced,
    found,
    placement,
    foreign: foreign.length + beyond.foreign,
    strays: inspection.timeline.strays.size + beyond.timeline.strays.size,
    unplanned: beyond.found.map(({ position }) => position),
    highestPosition: Math.max(inspection.timeline.highestPosition, beyond.timeline.highestPosition),
    lost: refill.filter(({ what, sequence }) => what === 'event' && sequence <= settledTo).length,
    newlySettled: verdict.ours.filter(
      (sequence) =>
        sequence > settledTo &&
        known.isSettled?.(sequence) !== true &&
        placement.slots.get(sequence)?.what === 'event',
    ).length,
  };
}

/** Nothing was ever planned for this stream: what it holds is history, the plan begins behind it. */
function firstPlan(stream: StreamState): Reconciliation {
  return {
    decided: stream.lastSequence,
    settledTo: null,
    refill: [],
    displaced: [],
    found: [],
    placement: placementOf([]),
    foreign: 0,
    strays: 0,
    unplanned: [],
    highestPosition: 0,
    lost: 0,
    newlySettled: 0,
  };
}

interface Inspection {
  readonly placement: Placement;
  readonly timeline: Timeline;
  readonly verdict: Verdict;
  /** Highest sequence below the judged ones that the log knows to be settled. */
  readonly settledBefore: number | null;
}

/** Steps 1 and 2. Looks further back until it stands on a slot that holds its message, or before the first plan. */
async function inspect(context: ReconcileContext, last: Batch, span: LogSpan): Promise<Inspection> {
  const { session, link, stream, source, signal } = context;
  const to = Math.min(stream.lastSequence, span.end);
  let from = Math.min(last.settledTo ?? span.start - 1, to);
  for (let lookBack = LOOK_BACK; ; lookBack *= 2) {
    const origin = Math.max(0, from - lookBack);
    const batches = await batchesFrom(session, {
      stream: stream.name,
      incarnation: stream.created,
      sequence: origin,
      since: span.since,
    });
    const placement = placementOf(batches);
    const anchor = highestLive(placement, from);
    const start = anchor ?? from + 1;
    const messages = await readBack(link, { stream: stream.name, from: start, to, signal });
    const wasStored = storedUnless(context, last);
    const verdict = judge(placement, messages, source, { wasStored });
    if (anchor === null || anchor <= span.start || verdict.ours.includes(anchor)) {
      const timeline = isPlain(messages, verdict, last)
        ? UNSUSPICIOUS
        : await traceTimeline(session, messages, source);
      const { strays, copies } = timeline;
      const judged =
        strays.size + copies.size === 0
          ? verdict
          : judge(placement, disown(messages, timeline), source, { wasStored, copies });
      return { placement, timeline, verdict: judged, settledBefore: anchor };
    }
    from = Math.max(0, anchor - lookBack);
  }
}

/**
 * A message that is gone was stored and then deleted by the stream's limits, by consumption, or by a purge, which all
 * leave other traces than a hole that nobody acknowledged: nats-server 2.9 makes one where an account's storage is full
 * (it stores, deletes and refuses). Where messages are dropped by subject, holes are normal.
 */
function storedUnless({ stream, known }: ReconcileContext, last: Batch): (sequence: number) => boolean {
  const { retention, maxMessagesPerSubject, firstSequence, lastSequence, messages } = stream;
  if (retention !== 'limits' || maxMessagesPerSubject > 0 || messages === 0) return () => true;
  const settledTo = Math.max(last.settledTo ?? 0, known?.settledTo ?? 0);
  return (sequence) => sequence <= settledTo || sequence < firstSequence || sequence > lastSequence;
}

/** Nothing but what was acknowledged before is in the stream, at its place. */
function isPlain(messages: readonly ReadBack[], { found }: Verdict, { settledTo }: Batch): boolean {
  return found.length === 0 && messages.every(({ sequence }) => sequence <= (settledTo ?? 0));
}

/** Every message of ours lies where it was planned: nothing speaks for another timeline. */
const UNSUSPICIOUS: Timeline = {
  strays: new Set(),
  ours: new Map(),
  copies: new Set(),
  highestPosition: 0,
};

function highestLive({ slots }: Placement, atMost: number): number | null {
  let top = 0;
  for (const [sequence, { what }] of slots)
    if (what !== 'void' && sequence <= atMost && sequence > top) top = sequence;
  return top === 0 ? null : top;
}

/**
 * What the stream holds beyond the plan: other writers' messages, or ours that the log has forgotten. Those of events
 * that the database still has are found; the others are strays.
 */
async function readBeyond(
  { session, link, stream, source, signal }: ReconcileContext,
  from: number,
): Promise<{ foreign: number; found: readonly Found[]; timeline: Timeline }> {
  const found: Found[] = [];
  const timeline = await traceBeyond(
    { session, link, stream: stream.name, source, from: from + 1, to: stream.lastSequence, signal },
    (one) => found.push(one),
  );
  return { foreign: Math.max(0, stream.lastSequence - from) - timeline.ours.size, found, timeline };
}

/** Step 3, for what lies beyond the stream's end. */
function refillOf(options: {
  from: number;
  to: number;
  span: LogSpan;
  placement: Placement;
  found: readonly Found[];
}): Refill[] {
  const { from, to, span, placement, found } = options;
  const stored = new Set(found.map(({ position }) => position));
  const refill: Refill[] = [];
  for (let sequence = from; sequence <= to; sequence++) {
    const slot = placement.slots.get(sequence) ?? unplannedSlot(sequence, span);
    const { position, what, replay, prefix } = slot;
    const fits = what === 'event' && (replay || !stored.has(position));
    refill.push({
      sequence,
      position,
      replay,
      prefix,
      what: fits ? 'event' : 'marker',
      unlogged: !fits && what !== 'marker',
    });
  }
  return refill;
}

/** Stands for a position where there is none: no event has it. */
const NO_POSITION = 0;

/**
 * A lost tail may reach over what others wrote between two plans, and down into what the stream held before the first:
 * those sequences have to be passed. Below what is left of a pruned log events may have been among it, and nobody has
 * them any more (`outlived`).
 */
function unplannedSlot(sequence: number, { start, whole }: LogSpan): PlannedSlot {
  return {
    position: NO_POSITION,
    what: whole || sequence > start ? 'void' : 'event',
    replay: false,
    prefix: null,
  };
}

function highest(sequences: readonly number[]): number | null {
  const top = sequences.reduce((max, sequence) => Math.max(max, sequence), 0);
  return top === 0 ? null : top;
}
