import type { Batch } from '../batch-log/batch.ts';
import { batchesFrom, type LogSpan, logSpan } from '../batch-log/recover.ts';
import type { StoredEvent } from '../event.ts';
import { type BrokerLink, type ReadBack, readBack, type StreamState } from '../jetstream/index.ts';
import { readPositions } from '../outbox/read.ts';
import type { Session } from '../postgres/session.ts';
import type { Pause } from './lane-state.ts';
import { judge, type Placement, placementOf, type Verdict } from './verdict.ts';

/**
 * Reconciliation compares the batch log with the stream. It starts from the log alone, so that it is the same after
 * a crash, a takeover, a reconnect and a bad answer:
 *   1. the highest slot known to be settled must still hold its event, else the tail was lost and perhaps refilled;
 *   2. every message between there and the end of the plan is read back and judged;
 *   3. what lost its slot is planned again behind the end; what lies beyond the stream's end is sent again at the same
 *      sequences.
 */
export interface Reconciliation {
  /** The stream's last sequence: everything up to it is decided. */
  readonly decided: number;
  /** Highest sequence that holds our message. */
  readonly settledTo: number | null;
  readonly last: Batch | undefined;
  /** Planned for the sequences behind `decided`, in order, without holes. */
  readonly resend: readonly StoredEvent[];
  readonly displaced: readonly StoredEvent[];
  readonly found: readonly { readonly position: number; readonly sequence: number }[];
  /** Messages of other writers, in the plan and beyond it, that were not counted before. */
  readonly foreign: number;
  /** Acknowledged events that the stream has lost. */
  readonly lost: number;
  /** Events found stored that were not known to be. */
  readonly newlySettled: number;
}

export type ReconcileResult =
  | { readonly kind: 'reconciled'; readonly reconciliation: Reconciliation }
  | { readonly kind: 'paused'; readonly pause: Pause };

/** What this leadership knew before, so that nothing is counted twice. The judgement itself rests on the log alone. */
export interface Known {
  /** Highest sequence confirmed to hold our message. */
  readonly settledTo: number | null;
  /** Everything up to this sequence was judged before. */
  readonly decided: number;
}

export interface ReconcileContext {
  readonly session: Session;
  readonly link: BrokerLink;
  readonly stream: StreamState;
  readonly source: string;
  /** The newest row of the stream's log; undefined if nothing was ever planned. */
  readonly last: Batch | undefined;
  /** Undefined at the first comparison of a leadership. */
  readonly known: Known | undefined;
  readonly signal: AbortSignal;
}

/** How far below a slot that no longer holds its event the first look goes; it doubles from there. */
const LOOK_BACK = 1_024;

export async function reconcile(context: ReconcileContext): Promise<ReconcileResult> {
  const { session, stream, last } = context;
  if (last === undefined) return reconciled(firstPlan(stream));
  if (last.incarnation !== stream.created) return { kind: 'paused', pause: recreated(last, stream) };
  const span = await logSpan(session, stream.name, stream.created);
  const { end } = span;
  const { placement, verdict, settledBefore } = await inspect(context, last, span);
  const awaiting = new Map([...placement.slots].filter(([sequence]) => sequence > stream.lastSequence));
  const unfillable = unfillableSlot({ stream, end, awaiting, verdict, placement });
  if (unfillable !== undefined) return { kind: 'paused', pause: unfillable };
  const toResend = sequencesUpTo(awaiting, stream.lastSequence + 1, end);
  const { events, missing } = await load(session, [...toResend, ...verdict.displaced]);
  if (missing !== undefined) return { kind: 'paused', pause: outlived(missing, stream) };
  const known = context.known ?? { settledTo: last.settledTo, decided: 0 };
  const settledTo = known.settledTo ?? 0;
  // A slot that has lost its event to a stranger is news, wherever it lies.
  const foreign = verdict.foreign.filter((at) => at > known.decided || placement.slots.has(at)).length;
  return reconciled({
    decided: stream.lastSequence,
    settledTo: highest([...verdict.ours, Math.min(settledBefore ?? 0, stream.lastSequence)]),
    last,
    resend: events.slice(0, toResend.length),
    displaced: events.slice(toResend.length),
    found: verdict.found,
    foreign: foreign + Math.max(0, stream.lastSequence - Math.max(end, known.decided)),
    lost: [...awaiting.keys()].filter((sequence) => sequence <= settledTo).length,
    newlySettled: verdict.ours.filter((sequence) => sequence > settledTo).length,
  });
}

function reconciled(reconciliation: Reconciliation): ReconcileResult {
  return { kind: 'reconciled', reconciliation };
}

/** Nothing was ever planned for this stream: what it holds is history, the plan begins behind it. */
function firstPlan(stream: StreamState): Reconciliation {
  return {
    decided: stream.lastSequence,
    settledTo: null,
    last: undefined,
    resend: [],
    displaced: [],
    found: [],
    foreign: 0,
    lost: 0,
    newlySettled: 0,
  };
}

interface Inspection {
  readonly placement: Placement;
  readonly verdict: Verdict;
  /** Highest sequence below the judged ones that the log knows to be settled. */
  readonly settledBefore: number | null;
}

/** Steps 1 and 2. Looks further back until it stands on a slot that holds its event, or before the first plan. */
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
    });
    const placement = placementOf(batches);
    const anchor = highest([...placement.slots.keys()].filter((sequence) => sequence <= from));
    const start = anchor ?? from + 1;
    const messages = await readBack(link, { stream: stream.name, from: start, to, signal });
    if (anchor === null || anchor <= span.start || holds(messages[0], placement.slots.get(anchor), source)) {
      return { placement, verdict: judge(placement, messages, source), settledBefore: anchor };
    }
    from = Math.max(0, anchor - lookBack);
  }
}

function holds(message: ReadBack | undefined, position: number | undefined, source: string): boolean {
  if (message === undefined) return false;
  return message.kind === 'gone' || (message.source === source && message.position === position);
}

/**
 * A slot that has to be passed but has no event to fill it with: it was another writer's, or its event is stored
 * elsewhere already. That takes a marker, which this version does not write.
 */
function unfillableSlot(facts: {
  stream: StreamState;
  end: number;
  awaiting: ReadonlyMap<number, number>;
  verdict: Verdict;
  placement: Placement;
}): Pause | undefined {
  const { stream, end, awaiting, verdict, placement } = facts;
  const storedAlready = verdict.found.find(({ position }) =>
    awaiting.has(placement.places.get(position) ?? 0),
  );
  const hole = Array.from(
    { length: Math.max(0, end - stream.lastSequence) },
    (_, i) => stream.lastSequence + 1 + i,
  ).find((sequence) => !awaiting.has(sequence));
  if (storedAlready === undefined && hole === undefined) return undefined;
  const sequence = hole ?? placement.places.get(storedAlready?.position ?? 0);
  return {
    outcome: 'refused',
    reason: `sequence ${sequence} of stream '${stream.name}' was lost by the broker and held no event of this outbox that could be stored there again; only a marker can fill it, which this version does not write. Nothing is lost: restore the stream, or give the relay a new one with POSTCOMMIT_STREAM`,
  };
}

function recreated(last: Batch, stream: StreamState): Pause {
  return {
    outcome: 'unavailable',
    reason: `stream '${stream.name}' is not the one planned for: it was created ${stream.created}, the batch log speaks of ${last.incarnation}. It was deleted and made anew, or restored. Restore the old one, or go on with another stream (POSTCOMMIT_STREAM): new events go there, those before position ${last.openFrom} stay in the outbox`,
  };
}

function sequencesUpTo(slots: ReadonlyMap<number, number>, from: number, to: number): number[] {
  const positions: number[] = [];
  for (let sequence = from; sequence <= to; sequence++) {
    const position = slots.get(sequence);
    if (position !== undefined) positions.push(position);
  }
  return positions;
}

function outlived(position: number, stream: StreamState): Pause {
  return {
    outcome: 'refused',
    reason: `stream '${stream.name}' lost events that the outbox no longer holds, the first of them at position ${position}: the loss is older than the retention. Restore the stream, or go on with another one (POSTCOMMIT_STREAM)`,
  };
}

interface Loaded {
  /** In the order asked for. */
  readonly events: readonly StoredEvent[];
  /** The first position that is no longer in the outbox. */
  readonly missing: number | undefined;
}

async function load(session: Session, positions: readonly number[]): Promise<Loaded> {
  const byPosition = new Map(
    (await readPositions(session, positions)).map((event) => [event.position, event]),
  );
  return {
    events: positions.flatMap((position) => byPosition.get(position) ?? []),
    missing: positions.find((position) => !byPosition.has(position)),
  };
}

function highest(sequences: readonly number[]): number | null {
  const top = sequences.reduce((max, sequence) => Math.max(max, sequence), 0);
  return top === 0 ? null : top;
}
