import type { Batch } from '../../batch-log/batch.ts';
import type { Retried } from '../../batch-log/plan.ts';
import type { NewLetter } from '../../dead-letters/letter.ts';
import type { StoredEvent } from '../../event.ts';
import type { CloudEventHeaders, StreamState } from '../../jetstream/index.ts';
import { createDeferred, type Deferred } from '../../lifecycle/deferred.ts';
import { rangesOf } from '../../postgres/position-ranges.ts';
import { storageFault } from './acceptable.ts';
import { type Cargo, copied, fresh, repeated } from './cargo.ts';
import {
  CHECKPOINT_AFTER,
  type Draft,
  type Intake,
  type Repeat,
  type Repeated,
  type Replay,
} from './lane.ts';
import type { LaneLetters, Suspect, Triage } from './lane-letters.ts';
import type { LaneLog } from './lane-log.ts';
import type { Outlet } from './outlet.ts';
import { underPrefix } from './planned-message.ts';

/** The planning half of a lane: decides what gets a slot, and drafts the rows that say so. */
export interface Drafter {
  draft(intake: Intake): Draft | 'nothing' | 'refused';
  /** Resolves when the row is written, or when the signal aborts before it is begun. */
  repeat(request: Repeat, signal: AbortSignal): Promise<Repeated>;
  /** Requests wait for everything planned to be settled. */
  readonly repeatsWait: boolean;
  /** Rows are being written: their events belong to the plan, and a comparison has to wait for them. */
  readonly busy: boolean;
  /** Requests that wait are given up. */
  close(): void;
}

export interface DrafterOptions {
  readonly stream: string;
  readonly outlet: Outlet;
  readonly log: LaneLog;
  readonly letters: LaneLetters;
  /** The stream's limits as of now, and when they were looked up, on the clock of `performance.now()`. */
  readonly known: () => { readonly state: StreamState; readonly atMs: number } | undefined;
  readonly maxPayload: () => number;
  /** Undefined where messages are no CloudEvents. */
  readonly cloudEvents: CloudEventHeaders | undefined;
  /** Positions that are in the stream already, and covered by `found` rows. */
  readonly storedBefore: ReadonlySet<number>;
  /** Slots protect what is repeated; without them its message id does. */
  readonly slotted: boolean;
  /** Nothing is under way any more, and an empty row is to say that all is settled. */
  readonly restDue: () => boolean;
  readonly changed: () => void;
}

/** Limits of the stream that are older than this are asked for again before an event is set aside for them. */
const LIMITS_MS = 1_000;

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one closure over what is being drafted, its parts named below.
export function createDrafter(options: DrafterOptions): Drafter {
  const { stream, outlet, log, letters, known, maxPayload, storedBefore, slotted, changed } = options;
  const { cloudEvents } = options;
  const { gate } = outlet;
  const repeats: WaitingRepeat[] = [];
  let busy = false;

  function suspectsOf(events: readonly StoredEvent[]): Suspect[] {
    const limits = known();
    return events.map((event) => {
      const reason =
        limits && storageFault(event, { stream: limits.state, maxPayload: maxPayload(), cloudEvents });
      return { event, fault: reason === undefined ? undefined : { outcome: 'refused', reason } };
    });
  }

  function suspectsOfLook({ events, misrouted }: Intake): Suspect[] {
    const unstored =
      storedBefore.size === 0 ? events : events.filter(({ position }) => !storedBefore.has(position));
    const suspects = suspectsOf(unstored);
    if (misrouted.length === 0) return suspects;
    const strays = misrouted.map(
      (event): Suspect => ({ event, fault: { outcome: 'misrouted', reason: misroutedReason(event) } }),
    );
    return [...suspects, ...strays].sort((a, b) => a.event.position - b.event.position);
  }

  /** An event does not fit the limits of the stream as they were a while ago: it has to be looked at first. */
  function areLimitsInDoubt(suspects: readonly Suspect[]): boolean {
    const isStale = performance.now() - (known()?.atMs ?? 0) > LIMITS_MS;
    if (!isStale || !suspects.some(({ fault }) => fault?.outcome === 'refused')) return false;
    gate.doubt('an event does not fit the limits of the stream, which may have changed');
    return true;
  }

  /** Who gets a slot and who does not; undefined if the lane pauses, or has to look at the stream first. */
  function triage(suspects: readonly Suspect[]): Triage | undefined {
    if (areLimitsInDoubt(suspects)) return undefined;
    const sorted = letters.triage(suspects);
    if ('events' in sorted) return sorted;
    gate.pause(sorted);
    return undefined;
  }

  /** What cannot be copied is left out: the event itself is stored, and nothing has to become of it. */
  function triageCopies(events: readonly StoredEvent[]): Triage | undefined {
    const suspects = suspectsOf(events);
    if (areLimitsInDoubt(suspects)) return undefined;
    const fit = suspects.filter(({ fault }) => fault === undefined);
    return { events: fit.map(({ event }) => event), letters: [] };
  }

  function triageRepeat(): { repeat: Repeat; triage: Triage } | 'none' | undefined {
    const repeat = outlet.pending === 0 ? repeats[0]?.request : undefined;
    if (repeat === undefined) return 'none';
    // What is retried must not be held again behind itself.
    if (repeat.kind === 'retry') letters.retrying(repeat.events);
    const sorted = repeat.kind === 'replay' ? triageCopies(repeat.events) : triage(suspectsOf(repeat.events));
    if (sorted === undefined) return undefined;
    // What is held again is known before later events of its key are judged. If the lane refuses those, it compares, and
    // letters begin again from their table.
    letters.commit(sorted.letters);
    return { repeat, triage: sorted };
  }

  function draftRepeat(repeat: Repeat, sorted: Triage): DraftPart {
    const part = repeat.kind === 'retry' ? draftRetry(sorted) : draftCopies(repeat, sorted);
    return {
      ...part,
      commit() {
        part.commit();
        repeats.shift()?.written.resolve('planned');
      },
    };
  }

  function draftRetry({ events, letters: dead }: Triage): DraftPart {
    const positions = events.map(({ position }) => position);
    const row = log.next({ kind: 'retry', ...outlet.bounds(events.length), positions: rangesOf(positions) });
    const toCargo = slotted ? (event: StoredEvent) => repeated(event) : fresh;
    return {
      row,
      letters: dead,
      retried: positions.map((position) => ({ stream, position })),
      commit() {
        letters.retrying(events);
        outlet.send(events.map(toCargo), row);
      },
    };
  }

  function draftCopies({ prefix, onRefused, events: asked }: Replay, { events }: Triage): DraftPart {
    const positions = rangesOf(events.map(({ position }) => position));
    const bounds = outlet.bounds(events.length);
    const row = log.next({ kind: 'replay', ...bounds, positions, subjectPrefix: prefix });
    return {
      row,
      letters: [],
      retried: [],
      commit() {
        const cargo = events.map((event): Cargo => copied(underPrefix(event, prefix), row.batch));
        outlet.send(cargo, row);
        onRefused(asked.length - events.length);
      },
    };
  }

  function draftNew(
    intake: Intake,
    { events, letters: dead }: Triage,
    before: number,
  ): DraftPart | undefined {
    const { readTo, openFrom, checkpoint } = intake;
    const isEmpty = events.length + dead.length === 0;
    const wanted = checkpoint || options.restDue() || openFrom - log.reading.openFrom >= CHECKPOINT_AFTER;
    if (isEmpty && !wanted) return undefined;
    const row = log.next({
      kind: 'new',
      ...outlet.bounds(events.length, before),
      positions: rangesOf(events.map(({ position }) => position)),
      parked: rangesOf(dead.map(({ position }) => position)),
      reading: { readTo, openFrom },
    });
    return { row, letters: dead, retried: [], commit: () => outlet.send(events.map(fresh), row) };
  }

  /** Not while a draft is being written, which may be its own. */
  function withdraw(waiting: WaitingRepeat): void {
    if (busy || !repeats.includes(waiting)) return;
    repeats.splice(repeats.indexOf(waiting), 1);
    waiting.written.resolve('later');
  }

  return {
    draft(intake) {
      // It may have fallen into doubt, and even out of it again, since the look began.
      if (gate.state.kind !== 'flowing' || outlet.behind > 0) return 'refused';
      const old = triageRepeat();
      const young = triage(suspectsOfLook(intake));
      if (old === undefined || young === undefined) return 'refused';
      const repeated = old === 'none' ? [] : [draftRepeat(old.repeat, old.triage)];
      const part = draftNew(intake, young, old === 'none' ? 0 : old.triage.events.length);
      const parts = part === undefined ? repeated : [...repeated, part];
      if (parts.length === 0) return 'nothing';
      busy = true;
      const dead = parts.flatMap((one) => one.letters);
      return {
        rows: parts.map(({ row }) => row),
        letters: dead,
        retried: parts.flatMap(({ retried }) => retried),
        commit() {
          letters.commit(dead);
          for (const { commit } of parts) commit();
          busy = false;
          for (const late of repeats.filter(({ signal }) => signal.aborted)) withdraw(late);
          changed();
        },
      };
    },
    repeat(request, signal) {
      const waiting = { request, signal, written: createDeferred<Repeated>() };
      repeats.push(waiting);
      signal.addEventListener('abort', () => withdraw(waiting), { once: true });
      return waiting.written.promise;
    },
    get repeatsWait() {
      return repeats.length > 0;
    },
    get busy() {
      return busy;
    },
    close() {
      for (const { written } of repeats.splice(0)) written.resolve('abandoned');
    },
  };
}

interface WaitingRepeat {
  readonly request: Repeat;
  readonly signal: AbortSignal;
  readonly written: Deferred<Repeated>;
}

interface DraftPart {
  readonly row: Batch;
  readonly letters: readonly NewLetter[];
  readonly retried: readonly Retried[];
  commit(): void;
}

function misroutedReason({ subject }: StoredEvent): string {
  return `no lane takes its subject '${subject}': add it to POSTCOMMIT_SUBJECTS (or a lane) and to the stream's subjects, restart the relay, then retry it`;
}
