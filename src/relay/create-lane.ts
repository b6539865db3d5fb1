import type { Batch } from '../batch-log/batch.ts';
import { planIfLeading } from '../batch-log/plan.ts';
import { lastBatch as readLastBatch } from '../batch-log/recover.ts';
import { settleLettersIfLeading } from '../dead-letters/letters.ts';
import { messageOf, PostcommitError } from '../errors.ts';
import type { StoredEvent } from '../event.ts';
import type { StreamState } from '../jetstream/index.ts';
import { createDeferred, type Deferred } from '../lifecycle/deferred.ts';
import { createWakeUp } from '../lifecycle/wake-up.ts';
import { rangesOf } from '../postgres/position-ranges.ts';
import { storageFault } from './acceptable.ts';
import { adoptStream, recreated } from './adopt.ts';
import { type Cargo, fresh, repeated } from './cargo.ts';
import { createKeyOutlet } from './key-outlet.ts';
import {
  type Adopted,
  type Adoption,
  CHECKPOINT_AFTER,
  type Draft,
  type Intake,
  type Lane,
  type LaneContext,
  MAX_PENDING,
  MAX_PENDING_BYTES,
  type Repeat,
} from './lane.ts';
import { createLaneLetters, type Suspect } from './lane-letters.ts';
import { createLaneLog } from './lane-log.ts';
import type { Outlet } from './outlet.ts';
import { prepareStream } from './prepare-stream.ts';
import { createStreamOutlet } from './stream-outlet.ts';
import { createWatchers } from './watchers.ts';

const RETRY_AT_MOST_MS = 1_000;
/** Limits of the stream that are older than this are asked for again before an event is set aside for them. */
const LIMITS_MS = 1_000;

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one closure over the lane's state, its parts named below.
export function createLane(context: LaneContext): Lane {
  const { options, session, link, epoch, source, meter } = context;
  const { stream, ordering = 'stream', deadLetters: policy = 'skip' } = options;
  const watchers = createWatchers();
  const kick = createWakeUp();
  const letters = createLaneLetters({ stream, policy, atMost: context.maxDeadLetters });
  const log = createLaneLog({ stream, ordering, epoch, settled: () => outlet });
  const createOutlet = ordering === 'stream' ? createStreamOutlet : createKeyOutlet;
  const changed = () => watchers.check();
  const outlet: Outlet = createOutlet({
    options,
    session,
    link,
    source,
    epoch,
    log,
    letters,
    meter,
    changed,
    wake() {
      kick.wake();
      changed();
      context.wake();
    },
  });
  const { gate } = outlet;
  let known: StreamState | undefined;
  let knownAtMs = Number.NEGATIVE_INFINITY;
  /** A row is being written: its events belong to the plan, and a comparison has to wait for it. */
  let drafting = false;
  let closed = false;
  const repeats: { request: Repeat; written: Deferred<'planned' | 'abandoned'> }[] = [];
  let adoption: { mode: Adoption; done: Deferred<Adopted> } | undefined;

  const isIdle = () => outlet.pending === 0;
  const hasRoom = () =>
    outlet.behind === 0 && outlet.pending < MAX_PENDING && outlet.pendingBytes < MAX_PENDING_BYTES;
  const isReady = () => gate.state.kind === 'flowing' && hasRoom() && (repeats.length === 0 || isIdle());

  function know(state: StreamState): void {
    known = state;
    knownAtMs = performance.now();
  }

  /** Row of a request, behind everything planned. */
  function draftRepeat({ kind, events }: Repeat, parts: DraftParts): 'refused' | undefined {
    const sorted = letters.triage(kind === 'retry' ? withoutHolding(events) : suspects(events, []));
    if (!('events' in sorted)) {
      gate.pause(sorted);
      return 'refused';
    }
    const positions = sorted.events.map(({ position }) => position);
    const bounds = outlet.bounds(sorted.events.length);
    const row = log.next({ kind, ...bounds, positions: rangesOf(positions) });
    parts.rows.push(row);
    parts.letters.push(...sorted.letters);
    if (kind === 'retry') parts.retried.push(...positions.map((position) => ({ stream, position })));
    const cargo = sorted.events.map(
      (event): Cargo =>
        kind === 'retry'
          ? repeated(event)
          : { kind: 'event', event, messageId: `${event.eventId}:${row.batch}` },
    );
    parts.commits.push(() => {
      if (kind === 'retry') letters.retrying(positions);
      outlet.send(cargo, row);
      repeats.shift()?.written.resolve('planned');
    });
    return undefined;
  }

  /** Held letters that are retried must not be held again behind themselves. */
  function withoutHolding(events: readonly StoredEvent[]): Suspect[] {
    letters.retrying(events.map(({ position }) => position));
    return suspects(events, []);
  }

  function suspects(events: readonly StoredEvent[], misrouted: readonly StoredEvent[]): Suspect[] {
    const limits = known === undefined ? undefined : { stream: known, maxPayload: link.maxPayload };
    const all: Suspect[] = events.map((event) => {
      const reason = limits === undefined ? undefined : storageFault(event, limits);
      return { event, fault: reason === undefined ? undefined : { outcome: 'refused', reason } };
    });
    if (misrouted.length === 0) return all;
    for (const event of misrouted)
      all.push({ event, fault: { outcome: 'misrouted', reason: misroutedReason(event) } });
    return all.sort((a, b) => a.event.position - b.event.position);
  }

  function draftNew(intake: Intake, parts: DraftParts): 'refused' | undefined {
    const all = suspects(intake.events, intake.misrouted);
    if (all.some(({ fault }) => fault?.outcome === 'refused') && performance.now() - knownAtMs > LIMITS_MS) {
      gate.doubt('an event does not fit the limits of the stream, which may have changed');
      return 'refused';
    }
    const sorted = letters.triage(all);
    if (!('events' in sorted)) {
      gate.pause(sorted);
      return 'refused';
    }
    const { events, letters: dead } = sorted;
    const { readTo, openFrom } = intake;
    const isEmpty = events.length + dead.length === 0;
    if (isEmpty && openFrom - log.reading.openFrom < CHECKPOINT_AFTER && !intake.checkpoint) return undefined;
    const [repeat] = parts.rows;
    const before = repeat === undefined ? 0 : repeat.lastSequence - repeat.firstSequence + 1;
    const row = log.next({
      kind: 'new',
      ...outlet.bounds(events.length, before),
      positions: rangesOf(events.map(({ position }) => position)),
      parked: rangesOf(dead.map(({ position }) => position)),
      reading: { readTo, openFrom },
    });
    parts.rows.push(row);
    parts.letters.push(...dead);
    parts.commits.push(() => outlet.send(events.map(fresh), row));
    return undefined;
  }

  async function compare(signal: AbortSignal): Promise<'flowing' | 'waiting' | 'fenced'> {
    const last = await readLastBatch(session, stream);
    const adopting = adoption;
    const prepared = await prepareStream(link, options, {
      provision: context.provision || adopting !== undefined,
      planned: last !== undefined && adopting === undefined,
      signal,
    });
    if (prepared.kind === 'unfit') {
      gate.pause(prepared.pause);
      return 'waiting';
    }
    const { state } = prepared;
    know(state);
    if (last !== undefined && last.incarnation !== state.created) {
      if (adopting === undefined) {
        gate.pause(recreated(last, state));
        return 'waiting';
      }
      return adopt(adopting, last, signal);
    }
    const outcome = await outlet.compare({ stream: state, last, giveUp: adopting !== undefined, signal });
    if (adopting !== undefined && outcome === 'flowing') finishAdoption(0);
    return outcome;
  }

  async function adopt(
    { mode }: { mode: Adoption },
    last: Batch,
    signal: AbortSignal,
  ): Promise<'flowing' | 'waiting' | 'fenced'> {
    if (known === undefined) throw new Error('adopted before the stream was looked up');
    const before = outlet.settledTo;
    log.restart(last, known.created);
    const row = await adoptStream({ session, last, stream: known, mode, settledTo: before, log });
    if ((await planIfLeading(session, [row])) === 'fenced') return 'fenced';
    const outcome = await outlet.compare({ stream: known, last: row, giveUp: true, signal });
    if (outcome === 'flowing') finishAdoption(row.lastSequence - row.firstSequence + 1);
    return outcome;
  }

  function finishAdoption(republished: number): void {
    adoption?.done.resolve({ kind: 'adopted', incarnation: log.incarnation ?? '', republished });
    adoption = undefined;
  }

  /** One attempt to leave doubt or a pause. */
  async function clear(signal: AbortSignal): Promise<'flowing' | 'waiting' | 'fenced'> {
    if (!link.connected) {
      gate.pause({ outcome: 'unavailable', reason: 'the connection to NATS is lost; it is being restored' });
      return 'waiting';
    }
    try {
      return await compare(signal);
    } catch (error) {
      // Only the broker's outages are values here; the database's end the term.
      if (!(error instanceof PostcommitError) || error.code !== 'broker-unreachable') throw error;
      gate.pause({ outcome: 'unavailable', reason: messageOf(error) });
      return 'waiting';
    }
  }

  async function writeFates(): Promise<'written' | 'fenced'> {
    const fates = letters.takeFates();
    if (fates === undefined) return 'written';
    return (await settleLettersIfLeading(session, epoch, fates)) ? 'written' : 'fenced';
  }

  const isDue = () =>
    gate.state.kind !== 'flowing' || letters.hasFates || outlet.hungry || adoption !== undefined;

  async function tendOnce(signal: AbortSignal): Promise<'fenced' | 'done'> {
    if ((await writeFates()) === 'fenced') return 'fenced';
    if (gate.state.kind === 'flowing' && adoption === undefined)
      return (await outlet.feed()) === 'fenced' ? 'fenced' : 'done';
    const waitMs = gate.retryAtMs - performance.now();
    if (waitMs > 0 && adoption === undefined) {
      await kick.wait(Math.min(waitMs, RETRY_AT_MOST_MS), signal);
      if (gate.retryAtMs > performance.now()) return 'done';
    }
    await watchers.until(() => !drafting, signal);
    if (signal.aborted) return 'done';
    const cleared = await clear(signal);
    if (cleared === 'fenced') return 'fenced';
    changed();
    if (cleared === 'flowing') context.wake();
    else if (adoption !== undefined) await kick.wait(RETRY_AT_MOST_MS, signal);
    return 'done';
  }

  return {
    stream,
    get state() {
      return gate.state;
    },
    get pending() {
      return outlet.pending;
    },
    get settled() {
      return { stream, settledTo: outlet.settledTo, settledBatch: outlet.settledBatch };
    },
    get oldest() {
      return outlet.oldest;
    },
    get ready() {
      return isReady();
    },
    get retryAtMs() {
      return gate.retryAtMs;
    },
    until: watchers.until,
    draft(intake): Draft | 'nothing' | 'refused' {
      // It may have fallen into doubt, and even out of it again, since the look began.
      if (gate.state.kind !== 'flowing' || outlet.behind > 0) return 'refused';
      const parts: DraftParts = { rows: [], letters: [], retried: [], commits: [] };
      const [repeat] = repeats;
      if (repeat !== undefined && isIdle() && draftRepeat(repeat.request, parts) === 'refused')
        return 'refused';
      if (draftNew(intake, parts) === 'refused') return 'refused';
      if (parts.rows.length === 0) return 'nothing';
      drafting = true;
      return {
        ...parts,
        commit() {
          letters.commit(parts.letters);
          for (const commit of parts.commits) commit();
          drafting = false;
          changed();
        },
      };
    },
    async repeat(request) {
      // What made an operator try again may be a limit that was raised a moment ago.
      const prepared = await prepareStream(link, options, { provision: false, planned: true });
      if (prepared.kind === 'fit' && prepared.state.created === known?.created) know(prepared.state);
      const written = createDeferred<'planned' | 'abandoned'>();
      if (closed) return 'abandoned';
      repeats.push({ request, written });
      context.wake();
      return written.promise;
    },
    async tend(signal) {
      while (!signal.aborted) {
        await watchers.until(isDue, signal);
        if (!signal.aborted && (await tendOnce(signal)) === 'fenced') return 'fenced';
      }
      return 'stopped';
    },
    async probe() {
      if (gate.state.kind !== 'flowing' || !link.connected) return;
      const { expectedEnd, settledTo } = outlet;
      const prepared = await prepareStream(link, options, { provision: false, planned: true });
      if (prepared.kind === 'unfit') return gate.doubt('the stream could not be looked up');
      const { created, lastSequence } = prepared.state;
      if (created === known?.created) know(prepared.state);
      if (created !== known?.created) gate.doubt('the stream was made anew');
      else if (lastSequence < (settledTo ?? 0)) gate.doubt('the stream has lost its tail');
      else if (
        expectedEnd !== undefined &&
        outlet.expectedEnd === expectedEnd &&
        lastSequence !== expectedEnd
      )
        gate.doubt('the stream has grown or shrunk by other hands');
    },
    adopt(mode) {
      adoption?.done.resolve({ kind: 'refused', reason: 'another request took its place' });
      const done = createDeferred<Adopted>();
      adoption = { mode, done };
      kick.wake();
      changed();
      return done.promise;
    },
    discarded: (positions) => letters.discarded(positions),
    close() {
      closed = true;
      for (const { written } of repeats.splice(0)) written.resolve('abandoned');
      adoption?.done.resolve({ kind: 'refused', reason: 'the leadership ended' });
      outlet.close();
    },
  };
}

interface DraftParts {
  readonly rows: Batch[];
  readonly letters: Draft['letters'][number][];
  readonly retried: Draft['retried'][number][];
  readonly commits: (() => void)[];
}

function misroutedReason({ subject }: StoredEvent): string {
  return `no lane takes its subject '${subject}': add it to POSTCOMMIT_SUBJECTS (or a lane) and to the stream's subjects, restart the relay, then retry it`;
}
