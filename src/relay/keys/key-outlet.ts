import type { Batch } from '../../batch-log/batch.ts';
import { planIfLeading } from '../../batch-log/plan.ts';
import { openLetters, parkIfLeading } from '../../dead-letters/letters.ts';
import type { StoredEvent } from '../../event.ts';
import { headerBlock, type StreamState } from '../../jetstream/index.ts';
import { type Cargo, copyId } from '../lane/cargo.ts';
import { noteDropped, UNSENDABLE } from '../lane/dropped-copies.ts';
import { eventsAt } from '../lane/events-at.ts';
import { createGate } from '../lane/gate.ts';
import { type LookUp, lookUpUnsettled, type Missing, type Seen } from '../lane/look-up.ts';
import { movedLetter, type Outlet, type OutletContext, outlived } from '../lane/outlet.ts';
import { type MessageName, nameOf } from '../lane/planned-message.ts';
import { sortPlanned } from '../lane/sort-planned.ts';
import { createTracedPublisher } from '../lane/traced-publisher.ts';
import { createDuplicates } from './duplicates.ts';
import { createKeyGraves } from './key-graves.ts';
import { type Consignment, createKeyQueue } from './key-queue.ts';

const LOAD_AT_ONCE = 500;
const LOADED_AT_MOST = 2_048;

/**
 * `key` and `none` ordering, on a stream that others may write to. There are no slots: message ids protect a repeat
 * inside the duplicate window, and beyond half of it the stream is looked into before anything is repeated.
 */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one closure over the outlet's state, its parts named below.
export function createKeyOutlet(context: OutletContext): Outlet {
  const { options, session, link, source, cloudEvents, epoch, log, letters, meter, changed, wake } = context;
  const { stream } = options;
  const queue = createKeyQueue({ perKey: options.ordering === 'key' });
  const graves = createKeyGraves(context, queue);
  const duplicates = createDuplicates();
  let settledTo: number | null = null;
  let highestSeen = 0;
  let handedOver = 0;
  let windowMs = 0;
  let refill: readonly Missing[] = [];
  let loaded = 0;
  let asOfMs = 0;
  let givingUp = false;
  let known: StreamState | undefined;
  let compared = false;
  /** The stream was shorter than this leadership had seen it: so much of it was left at most. */
  let rewoundTo: number | undefined;
  let seen: Seen | undefined;
  // Whatever is on the other end afterwards may have lost what this one had, and hidden it behind others' messages.
  const offDisconnect = link.onDisconnect(() => {
    seen = undefined;
  });

  const gate = createGate({ link, meter, wake, onClose: () => publisher.abandon() });
  const publisher = createTracedPublisher({
    link,
    stream,
    onStored(token, sequence) {
      highestSeen = Math.max(highestSeen, sequence);
      settledTo = Math.max(settledTo ?? 0, sequence);
      const consignment = queue.done(token);
      if (consignment !== undefined && sequence < consignment.bound) noteRewind(sequence - 1);
      gate.stored();
      if (consignment !== undefined) noteStored(consignment);
      verifyDuplicates();
      pump();
    },
    onFailure(token, outcome) {
      meter.failed(outcome.kind);
      const consignment = queue.at(token);
      if (outcome.kind === 'refused' && consignment !== undefined) {
        const end = consignment.copy ? drop : bury;
        return end(token, consignment, outcome.reason);
      }
      if (outcome.kind === 'duplicate') {
        if (consignment !== undefined) duplicates.note(consignment.name);
        verifyDuplicates();
      } else if (outcome.kind === 'ambiguous') gate.fruitless(outcome.reason);
      else gate.pause({ outcome: outcome.kind, reason: outcome.reason });
    },
    onRoom: () => pump(),
  });

  /** Servers of a cluster may lose a tail without a connection of ours being lost. */
  function noteRewind(to: number): void {
    rewoundTo = Math.min(rewoundTo ?? to, to);
    gate.doubt('an event was stored below where the stream had ended: it has lost its tail');
  }

  function verifyDuplicates(): void {
    if (gate.state.kind === 'flowing' && duplicates.isDue(publisher.inFlight))
      gate.doubt('the broker calls some of them duplicates, which proves nothing');
  }

  function noteStored({ event, name, copy }: Consignment): void {
    duplicates.done(name);
    if (copy) meter.copied();
    else {
      meter.stored(event);
      letters.stored();
      letters.settled(event.position, 'event');
    }
    changed();
  }

  function drop(token: number, { event }: Consignment, reason: string): void {
    queue.done(token);
    noteDropped(context, [event], reason);
    changed();
    verifyDuplicates();
    pump();
  }

  function bury(token: number, consignment: Consignment, reason: string): void {
    const pause = graves.refuse(token, consignment, reason);
    if (pause !== undefined) gate.pause(pause);
    changed();
  }

  function pump(): void {
    while (gate.state.kind === 'flowing' && publisher.hasRoom()) {
      if (gate.probing && publisher.inFlight > 0) return;
      const consignment = queue.peek();
      if (consignment === undefined) return;
      if (performance.now() > consignment.safeUntilMs) {
        gate.doubt('what may have been sent before is older than half the duplicate window');
        return;
      }
      const { event, messageId } = consignment;
      const expectedLastSequence = null;
      const headers = headerBlock(event, { stream, source, messageId, expectedLastSequence, cloudEvents });
      publisher.publish({ subject: event.subject, headers, payload: event.payload, event }, queue.take());
    }
  }

  async function buryAll(): Promise<boolean> {
    if (!(await graves.close())) return false;
    changed();
    verifyDuplicates(); // The refusal may have been the last answer under way.
    pump();
    return true;
  }

  /** What may have been sent before is sent again with its id, unless the broker has shown that it would swallow it. */
  function consign(missing: Missing, event: StoredEvent): void {
    const { batch, replay } = missing;
    const name = nameOf(missing);
    const id = replay ? copyId(event, batch) : event.eventId;
    queue.add({
      event,
      name,
      copy: replay,
      batch,
      messageId: duplicates.isIdUsed(name) ? null : id,
      bound: (known?.lastSequence ?? 0) + 1,
      safeUntilMs: asOfMs + windowMs / 2,
    });
  }

  /** Events that another lane takes by now leave this one. False: another epoch leads. */
  async function handOver(moved: readonly StoredEvent[]): Promise<boolean> {
    if (moved.length === 0) return true;
    const dead = moved.map((event) => movedLetter(context, event));
    if (!(await parkIfLeading(session, epoch, dead))) return false;
    letters.commit(dead);
    context.onMoved();
    return true;
  }

  async function load(part: readonly Missing[]): Promise<boolean> {
    const positions = [...new Set(part.map(({ position }) => position))];
    const events = await eventsAt(session, positions);
    const { sent, moved, dropped, lost } = sortPlanned(context, { planned: part, events, stream: known });
    if (lost !== undefined && !givingUp) {
      gate.pause(outlived(lost.position, stream));
      return false;
    }
    noteDropped(context, dropped, UNSENDABLE);
    if (!(await handOver(moved))) return false;
    const retried = new Set(letters.inState('retrying'));
    for (const [missing, event] of sent) {
      const { position, batch, replay } = missing;
      if (!replay && !retried.has(position) && letters.holds(event)) graves.holdBack(event, batch);
      else consign(missing, event);
    }
    return true;
  }

  async function loadMore(): Promise<'loaded' | 'stopped'> {
    const part = refill.slice(loaded, loaded + LOAD_AT_ONCE);
    const { state } = gate;
    // A gate that closed meanwhile compares everything anew.
    if (!(await load(part)) || gate.state !== state) return 'stopped';
    loaded += part.length;
    if (loaded === refill.length) [refill, loaded] = [[], 0];
    pump();
    return 'loaded';
  }

  function judgeLetters(stored: ReadonlyMap<MessageName, number>, missing: readonly Missing[]): void {
    const pending = new Set(missing.map(nameOf));
    for (const name of stored.keys()) if (typeof name === 'number') letters.settled(name, 'event');
    for (const position of letters.inState('retrying'))
      if (!pending.has(position)) letters.settled(position, 'event');
    for (const position of letters.inState('marking')) letters.settled(position, 'marker');
  }

  /** What this leadership saw acknowledged is found once more, until a row of the log says that it is settled. */
  function newAmong(stored: ReadonlyMap<MessageName, number>): number {
    if (!compared) return stored.size;
    const pending = queue.names();
    for (const missing of refill.slice(loaded)) pending.add(nameOf(missing));
    return [...stored.keys()].filter((name) => pending.has(name)).length;
  }

  function takeOver({ stored, missing, asOfMs: lookedAtMs }: LookUp, lastSequence: number): void {
    duplicates.judge(stored);
    let highest = settledTo ?? 0;
    for (const sequence of stored.values()) highest = Math.max(highest, sequence);
    settledTo = highest === 0 ? null : Math.min(highest, lastSequence);
    judgeLetters(stored, missing);
    queue.clear();
    [refill, loaded, asOfMs] = [missing, 0, lookedAtMs];
  }

  /**
   * What the stream has lost is stored anew below where its rows begin, and a later look would not find it there: a row
   * without events says so, before anything is sent. False: another epoch leads.
   */
  async function lowerBound({ bound, lost }: LookUp, end: number): Promise<boolean> {
    // A row that calls what was lost settled, and is the newest, would be believed by the next look.
    if (lost === 0 && bound <= end + 1) return true;
    const row = log.next({ kind: 'new', first: end + 1, last: end, positions: [] });
    if ((await planIfLeading(session, [row])) === 'fenced') return false;
    handedOver = row.batch;
    return true;
  }

  /** What became of all that is not known to be stored. False: another epoch leads. */
  async function lookUp(last: Batch, state: StreamState, signal: AbortSignal): Promise<boolean> {
    const end = Math.min(state.lastSequence, rewoundTo ?? state.lastSequence);
    const found = await lookUpUnsettled(context, {
      last,
      stream: state,
      signal,
      settledTo,
      // Of this incarnation: one that was made anew begins at nothing.
      settledBatch: settledTo === null ? null : outlet.settledBatch,
      seen: seen !== undefined && seen.end <= state.lastSequence ? seen : undefined,
      rewoundTo,
    });
    seen = found.seen;
    settledTo = settledTo ?? last.settledTo;
    letters.restart(await openLetters(session, stream));
    meter.reconciled({
      lost: found.lost,
      newlySettled: newAmong(found.stored),
      foreign: 0,
      disordered: 0,
      strays: 0,
    });
    takeOver(found, state.lastSequence);
    handedOver = last.batch;
    highestSeen = state.lastSequence;
    if (!(await lowerBound(found, end))) return false;
    rewoundTo = undefined;
    return true;
  }

  const outlet: Outlet = {
    gate,
    get pending() {
      return queue.pending + outlet.behind + graves.heldBack;
    },
    get pendingBytes() {
      return queue.pendingBytes;
    },
    get inFlight() {
      return publisher.inFlight;
    },
    get oldest() {
      return queue.oldest;
    },
    get settledTo() {
      return settledTo;
    },
    get settledBatch() {
      const open = [refill[loaded]?.batch, queue.lowestBatch, graves.lowestBatch].filter(isNumber);
      return open.length === 0 ? handedOver : Math.min(...open) - 1;
    },
    get behind() {
      return refill.length - loaded;
    },
    get hungry() {
      return (
        !graves.isEmpty ||
        (outlet.behind > 0 && gate.state.kind === 'flowing' && queue.pending <= LOADED_AT_MOST / 2)
      );
    },
    expectedEnd: undefined,
    bounds: (count) => ({ first: highestSeen + 1, last: highestSeen + count }),
    send(cargo: readonly Cargo[], row: Batch) {
      for (const one of cargo) {
        if (one.kind !== 'event') throw new Error('markers have no place outside the chain');
        const { batch, kind, subjectPrefix: prefix } = row;
        const { event, messageId, copy } = one;
        if (kind === 'new' && letters.holds(event)) graves.holdBack(event, batch);
        else
          queue.add({
            event,
            name: nameOf({ position: event.position, prefix }),
            copy,
            batch,
            messageId,
            bound: row.firstSequence,
            safeUntilMs: Number.POSITIVE_INFINITY,
          });
      }
      handedOver = row.batch;
      publisher.look();
      if (!graves.isEmpty) changed();
      pump();
    },
    async feed() {
      while (outlet.hungry) {
        if (!graves.isEmpty && !(await buryAll())) return 'fenced';
        if (outlet.behind > 0 && (await loadMore()) === 'stopped') return 'fed';
      }
      return 'fed';
    },
    async compare({ stream: state, last, giveUp, signal }) {
      if (!graves.isEmpty && !(await buryAll())) return 'fenced';
      givingUp = giveUp;
      if (known !== undefined && known.created !== state.created) [settledTo, seen] = [null, undefined];
      known = state;
      windowMs = state.duplicateWindowMs;
      highestSeen = Math.max(state.lastSequence, highestSeen);
      log.restart(last, state.created);
      if (last !== undefined && !(await lookUp(last, state, signal))) return 'fenced';
      compared = true;
      gate.open(outlet.pending === 0);
      if ((await outlet.feed()) === 'fenced') return 'fenced';
      pump();
      return gate.state.kind === 'flowing' ? 'flowing' : 'waiting';
    },
    close() {
      offDisconnect();
      gate.close();
      publisher.close();
    },
  };
  return outlet;
}

function isNumber(value: number | undefined): value is number {
  return value !== undefined;
}
