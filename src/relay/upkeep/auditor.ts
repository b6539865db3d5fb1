import type { Coverage } from '../../batch-log/coverage.ts';
import { createDeferred, type Deferred } from '../../lifecycle/deferred.ts';
import {
  byLeaf,
  confirmUncovered,
  type FindOptions,
  findUncovered,
  leaveOut,
  positionsIn,
  type Uncovered,
} from '../../outbox/audit.ts';
import type { Capture } from '../../outbox/capture.ts';
import type { CensusProgress } from '../../outbox/census.ts';
import { SEGMENTS } from '../../outbox/live-segments.ts';
import {
  differenceOf,
  firstPositions,
  type PositionRanges,
  sizeOf,
  unionOf,
} from '../../postgres/position-ranges.ts';
import { createPositionSet } from '../../postgres/position-set.ts';
import type { Session } from '../../postgres/session.ts';
import { withoutWaiting } from '../../postgres/without-waiting.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { PlansUnderWay } from '../reading/plans-under-way.ts';

/**
 * Finds rows of the outbox that reading has passed over, and makes all readers look at them again. None that is planned,
 * or about to be, is ever taken for one: it would be published twice.
 */
export interface Auditor {
  /** Looks through the whole outbox in the turns to come. Resolves when what was found is being looked at again. */
  search(options?: SearchOptions): Promise<Finding>;
  /** Rows that the ring met in an old leaf. */
  offer(segment: number, uncovered: Uncovered): void;
  /** Some of the work, for about as long as this. Its session must not be inside a transaction. */
  turn(budgetMs: number): Promise<void>;
}

export interface SearchOptions {
  /** See `FindOptions.reusedUpTo`. */
  readonly reusedUpTo?: number;
}

/** What came of a search, as an operator reads it. */
export type Finding = {
  /** Events that no plan held and no reader would have read. */
  readonly found: number;
  /** The first of them. */
  readonly positions: readonly number[];
};

interface Wish {
  readonly options: SearchOptions;
  readonly done: Deferred<Finding>;
}

export interface AuditorContext {
  readonly session: Session;
  /** All readers. */
  readonly captures: () => readonly Capture[];
  /** The one that reads events with this subject for their lane. */
  readonly readerOf: (subject: string) => Capture;
  readonly underWay: PlansUnderWay;
  readonly coverage: Coverage;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** What was opened again is looked after until it is planned: a reader may have left meanwhile, and taken it along. */
const LOOK_AFTER_MS = 5_000;
const NAMED = 100;
const LOGGED = 10;

export function createAuditor(context: AuditorContext): Auditor {
  const { session, captures, readerOf, underWay, coverage } = context;
  const wishes: Wish[] = [];
  const open = new Map<string, Uncovered>();
  const counted = createPositionSet();
  let searching: { steps: AsyncGenerator<CensusProgress, Uncovered>; for: readonly Wish[] } | undefined;
  let lookedAfterAtMs = Number.NEGATIVE_INFINITY;

  /** Makes all readers look at what is confirmed. Nothing happens between the last look at the plans and that. */
  async function reopen(key: string, found: Uncovered): Promise<PositionRanges> {
    const watch = underWay.watch();
    try {
      const confirmed = await confirmUncovered(session, found);
      const left = leaveOut(confirmed, watch.positions);
      if (left.rows.length === 0) open.delete(key);
      else open.set(key, left);
      coverage.readmit(positionsIn(left.rows));
      return unionOf(
        captures().map((capture) =>
          capture.reopen(byLeaf(left.rows.filter(({ subject }) => readerOf(subject) === capture))),
        ),
      );
    } finally {
      watch.end();
    }
  }

  async function reopenAndTell(key: string, found: Uncovered): Promise<PositionRanges> {
    const passed = await reopen(key, found);
    const events = differenceOf(passed, counted.add(passed));
    if (events.length > 0) tell(context, events);
    return passed;
  }

  async function lookAfter(): Promise<void> {
    if (performance.now() - lookedAfterAtMs < LOOK_AFTER_MS) return;
    lookedAfterAtMs = performance.now();
    for (const [key, found] of open) await reopenAndTell(key, found);
  }

  function begin(): typeof searching {
    if (wishes.length === 0) return undefined;
    const taken = wishes.splice(0);
    return { steps: findUncovered(session, optionsFor(taken, context)), for: taken };
  }

  async function goOn(deadlineMs: number): Promise<void> {
    while (searching !== undefined && performance.now() < deadlineMs) {
      const { steps, for: asking } = searching;
      const step = await withoutWaiting(session, () => steps.next());
      if (step === 'busy') {
        // Somebody keeps everyone out of a leaf: from the beginning the next time.
        wishes.push(...asking);
        searching = undefined;
        return;
      } else if (step.done === true) {
        searching = undefined;
        const passed = await reopenAndTell('search', step.value);
        const finding = { found: sizeOf(passed), positions: firstPositions(passed, NAMED) };
        for (const { done } of asking) done.resolve(finding);
      }
    }
  }

  return {
    search(options = {}) {
      const done = createDeferred<Finding>();
      wishes.push({ options, done });
      return done.promise;
    },
    offer(segment, uncovered) {
      if (!open.has(`segment ${segment}`)) lookedAfterAtMs = Number.NEGATIVE_INFINITY;
      open.set(`segment ${segment}`, uncovered);
    },
    async turn(budgetMs) {
      await lookAfter();
      const deadlineMs = performance.now() + budgetMs;
      searching ??= begin();
      await goOn(deadlineMs);
    },
  };
}

function optionsFor(
  wishes: readonly Wish[],
  { captures, readerOf }: Pick<AuditorContext, 'captures' | 'readerOf'>,
): FindOptions {
  const readers = captures().map(({ state }) => state);
  const reused = wishes.map(({ options }) => options.reusedUpTo ?? Number.NEGATIVE_INFINITY);
  return {
    cursor: Math.max(...readers.map(({ cursor }) => cursor)),
    liveSegments: SEGMENTS.filter((segment) =>
      readers.every(({ liveSegments }) => liveSegments.includes(segment)),
    ),
    isPassed({ position, segment, subject }) {
      const reader = readerOf(subject);
      return !reader.isOpen(position) || !reader.state.liveSegments.includes(segment);
    },
    reusedUpTo: Math.max(...reused),
  };
}

function tell({ metrics, logger }: AuditorContext, events: PositionRanges): void {
  const count = sizeOf(events);
  metrics.auditFoundEvents.inc(count);
  logger.warn(
    { event: 'uncovered-events', events: count, positions: firstPositions(events, LOGGED) },
    `${count} events were in no plan, where no reader looked any more (inserted at a position of somebody's choice, straight into a leaf, or by a sequence set back): they are published now`,
  );
}
