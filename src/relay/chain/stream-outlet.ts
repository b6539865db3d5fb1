import type { Batch } from '../../batch-log/batch.ts';
import { planIfLeading } from '../../batch-log/plan.ts';
import { logSpan } from '../../batch-log/recover.ts';
import { openLetters } from '../../dead-letters/letters.ts';
import type { StoredEvent } from '../../event.ts';
import type { StreamState } from '../../jetstream/index.ts';
import { type PositionRanges, rangesOf } from '../../postgres/position-ranges.ts';
import { guardSequence } from '../guard-sequence.ts';
import { type Cargo, repeated } from '../lane/cargo.ts';
import { noteDropped, UNSENDABLE } from '../lane/dropped-copies.ts';
import { eventIdsAt, eventsAt } from '../lane/events-at.ts';
import { lookUpUnsettled, type Missing } from '../lane/look-up.ts';
import {
  type Comparison,
  markerSubjectOf,
  movedLetter,
  type Outlet,
  type OutletContext,
  outlived,
} from '../lane/outlet.ts';
import { byPrefix } from '../lane/planned-message.ts';
import { rowsBehind } from '../lane/rows-behind.ts';
import { sortPlanned } from '../lane/sort-planned.ts';
import { amend, judgeLetters } from './amendments.ts';
import { createBurial } from './burial.ts';
import { createChain } from './chain.ts';
import { type Reconciliation, type Refill, reconcile } from './reconcile.ts';

/** As much of what has to be repeated is loaded at a time; a lost tail may be millions of events long. */
const LOAD_AT_ONCE = 500;
const LOADED_AT_MOST = 2_048;
const LOADED_BYTES_AT_MOST = 8 * 1024 * 1024;

/** `stream` ordering: every event has a slot, and the chain of expected sequences fills the slots in order. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one closure over the outlet's state, its parts named below.
export function createStreamOutlet(context: OutletContext): Outlet {
  const { options, session, link, source, cloudEvents, log, letters, meter, changed, wake } = context;
  const { stream } = options;
  const chain = createChain({
    link,
    stream,
    source,
    cloudEvents,
    markerSubject: () => markerSubjectOf(options.subjects, known),
    meter,
    wake,
    onSettled(cargo) {
      if (cargo.kind === 'marker') letters.settled(cargo.position, 'marker');
      else if (!cargo.copy) {
        letters.stored();
        letters.settled(cargo.event.position, 'event');
      }
      changed();
    },
  });
  const burial = createBurial(context);
  /** Up to where the last comparison with the stream went, and of which stream. */
  let decided: { sequence: number; incarnation: string } | undefined;
  /** Planned for the sequences behind what the chain holds, not loaded yet. */
  let refill: readonly Refill[] = [];
  let loaded = 0;
  let givingUp = false;
  let known: StreamState | undefined;

  /** Takes over what a reconciliation found, and writes down what it decided. */
  async function takeOver(
    result: Reconciliation,
    comparison: Comparison,
  ): Promise<'done' | 'waiting' | 'fenced'> {
    const { refusal } = chain;
    [refill, loaded] = [[], 0];
    chain.restart(result.decided, result.settledTo);
    decided = { sequence: result.decided, incarnation: comparison.stream.created };
    log.restart(comparison.last, comparison.stream.created);
    letters.restart(await openLetters(session, stream));
    judgeLetters(result, letters);
    meter.reconciled({
      ...result,
      disordered: result.displaced.length + result.found.length - result.unplanned.length,
    });
    await guardPositions(result);
    context.onStoredBefore(result.unplanned);
    const buried = await burial.bury(refusal, result.refill);
    if (buried.kind === 'paused') {
      chain.gate.pause(buried.pause);
      return 'waiting';
    }
    const { rows, refill: slots } = amend(log, result, {
      slots: buried.refill,
      believed: comparison.last?.settledTo ?? null,
    });
    if (rows.length > 0 && (await planIfLeading(session, rows, { letters: buried.letters })) === 'fenced')
      return 'fenced';
    letters.commit(buried.letters);
    if (buried.copy !== undefined)
      noteDropped(context, [buried.copy], refusal?.reason ?? 'the server refuses it');
    refill = slots;
    return 'done';
  }

  /** Positions that the stream shows are never drawn again: what the database has lost may have had them. */
  async function guardPositions({ strays, highestPosition }: Reconciliation): Promise<void> {
    if (strays > 0) await guardSequence(session, { cursor: highestPosition, logger: context.logger });
  }

  /** Slots whose events are given up, or go to another lane. */
  async function fillWithMarkers(
    slots: readonly Refill[],
    moved: readonly StoredEvent[],
  ): Promise<'done' | 'fenced'> {
    if (slots.length === 0) return 'done';
    const rows = slots.map(({ sequence, position }) =>
      log.next({ kind: 'marker', first: sequence, last: sequence, positions: [position, position] }),
    );
    const dead = moved.map((event) => movedLetter(context, event));
    if ((await planIfLeading(session, rows, { letters: dead })) === 'fenced') return 'fenced';
    letters.commit(dead);
    if (moved.length > 0) context.onMoved();
    return 'done';
  }

  async function load(slots: readonly Refill[]): Promise<readonly Cargo[] | 'fenced' | undefined> {
    const events = await eventsAt(session, positionsOf(slots, 'event'));
    const planned = slots.filter(({ what }) => what === 'event');
    const { sent, moved, dropped, lost } = sortPlanned(context, { planned, events, stream: known });
    if (lost !== undefined && !givingUp) {
      chain.gate.pause(outlived(lost.position, stream));
      return undefined;
    }
    noteDropped(context, dropped, UNSENDABLE);
    const filled = new Map(sent.map(([{ sequence }, event]) => [sequence, event]));
    const unfilled = planned.filter(({ sequence }) => !filled.has(sequence));
    if ((await fillWithMarkers(unfilled, moved)) === 'fenced') return 'fenced';
    const ids = await eventIdsAt(session, positionsOf(slots, 'marker'));
    return slots.map(({ sequence, position, replay }): Cargo => {
      const event = filled.get(sequence);
      if (event !== undefined) return repeated(event, replay);
      return { kind: 'marker', position, eventId: ids.get(position) ?? 'unknown' };
    });
  }

  async function startFlowing(): Promise<'flowing' | 'waiting' | 'fenced'> {
    chain.flow({ idle: outlet.pending === 0 });
    if ((await outlet.feed()) === 'fenced') return 'fenced';
    return chain.gate.state.kind === 'flowing' ? 'flowing' : 'waiting';
  }

  const outlet: Outlet = {
    gate: chain.gate,
    get pending() {
      return chain.pending + outlet.behind;
    },
    get pendingBytes() {
      return chain.pendingBytes;
    },
    get inFlight() {
      return chain.inFlight;
    },
    get oldest() {
      return chain.oldest;
    },
    get settledTo() {
      return chain.settledTo;
    },
    settledBatch: null,
    get behind() {
      return refill.length - loaded;
    },
    get hungry() {
      return (
        outlet.behind > 0 &&
        chain.gate.state.kind === 'flowing' &&
        chain.pending <= LOADED_AT_MOST / 2 &&
        chain.pendingBytes <= LOADED_BYTES_AT_MOST
      );
    },
    get expectedEnd() {
      return chain.pending + outlet.behind > 0 ? undefined : chain.end;
    },
    bounds(count, before = 0) {
      const end = chain.end + before;
      return { first: end + 1, last: end + count };
    },
    send: (cargo) => chain.append(cargo),
    async feed() {
      while (outlet.hungry) {
        const slots = refill.slice(loaded, loaded + LOAD_AT_ONCE);
        const cargo = await load(slots);
        if (cargo === 'fenced') return 'fenced';
        // A gate that closed meanwhile compares everything anew.
        if (cargo === undefined || chain.gate.state.kind !== 'flowing') return 'fed';
        loaded += slots.length;
        if (loaded === refill.length) [refill, loaded] = [[], 0];
        chain.append(cargo);
      }
      return 'fed';
    },
    async compare(comparison) {
      const { last, stream: state, signal } = comparison;
      givingUp = comparison.giveUp;
      known = state;
      if (last !== undefined && last.ordering !== 'stream') {
        const moved = await moveIntoSlots(context, comparison, last);
        return moved === 'fenced' ? 'fenced' : outlet.compare({ ...comparison, last: moved });
      }
      const before =
        decided?.incarnation === state.created
          ? { decided: decided.sequence, settledTo: chain.settledTo, isSettled: chain.isSettled }
          : undefined;
      const result = await reconcile({ session, link, stream: state, source, last, known: before, signal });
      const taken = await takeOver(result, comparison);
      return taken === 'done' ? startFlowing() : taken;
    },
    close: () => chain.close(),
  };
  return outlet;
}

function positionsOf(slots: readonly Refill[], wanted: Refill['what']): number[] {
  return slots.filter(({ what }) => what === wanted).map(({ position }) => position);
}

/** The lane had another ordering before: what is not known to be stored gets slots behind the stream's end. */
async function moveIntoSlots(
  context: OutletContext,
  { stream, signal }: Comparison,
  last: Batch,
): Promise<Batch | 'fenced'> {
  const { session, log } = context;
  const { missing } = await lookUpUnsettled(context, { last, stream, signal });
  const { end } = await logSpan(session, stream.name, stream.created);
  log.restart(last, stream.created);
  const rows = rowsBehind(log, Math.max(stream.lastSequence, end), groupsOf(missing));
  return (await planIfLeading(session, rows)) === 'fenced' ? 'fenced' : (rows.at(-1) ?? last);
}

/** By prefix, with the events themselves in any case: their row says from where on there are slots. */
function groupsOf(missing: readonly Missing[]): ReadonlyMap<string | null, PositionRanges> {
  const groups = new Map<string | null, PositionRanges>([[null, []]]);
  for (const [prefix, messages] of byPrefix(missing)) {
    const positions = messages.map(({ position }) => position);
    groups.set(prefix, rangesOf(positions.sort((a, b) => a - b)));
  }
  return groups;
}
