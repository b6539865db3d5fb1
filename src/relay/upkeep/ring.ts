import { pruneIfLeading } from '../../batch-log/prune.ts';
import { lastRows } from '../../batch-log/recover.ts';
import { type SettledStream, settledLogs } from '../../batch-log/settled.ts';
import type { Uncovered } from '../../outbox/audit.ts';
import type { Capture } from '../../outbox/capture.ts';
import { createLeafCheck, type Emptying, type LeafCheck } from '../../outbox/emptying.ts';
import { SEGMENTS } from '../../outbox/live-segments.ts';
import {
  currentSegment,
  lowestPosition,
  nextSegment,
  rotateIfLeading,
  type SegmentFacts,
  segmentFacts,
} from '../../outbox/segments.ts';
import type { Session } from '../../postgres/session.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { measureRing } from './ring-gauges.ts';

export interface RingContext {
  readonly session: Session;
  readonly epoch: number;
  readonly retentionMs: number;
  /** Inserts move on when the current leaf is this large. */
  readonly segmentBytes: number;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** How things stand at a turn. */
export interface RingFacts {
  /** All readers. A leaf is live in each of them before inserts go there, and in none when it is emptied. */
  readonly captures: readonly Pick<Capture, 'state' | 'addSegment'>[];
  /** What each lane knows to be stored. */
  readonly lanes: readonly SettledStream[];
  /** The lowest open position of all readers. */
  readonly openFrom: number;
}

/** `uncovered`: rows in old leaves that no plan holds, to be looked into again. */
export type RingTurn =
  | { readonly kind: 'fenced' }
  | { readonly kind: 'done'; readonly uncovered: readonly UncoveredLeaf[] };

export interface UncoveredLeaf {
  readonly segment: number;
  readonly found: Uncovered;
}

/** Moves inserts on when it is time, and empties what is past the retention. Nobody ever waits for it. */
export interface Ring {
  turn(facts: RingFacts): Promise<RingTurn>;
}

/** Two leaves of the ring are never old: the one being written and the one being emptied. */
const SPARE_SEGMENTS = 2;
/** Of a turn, for comparing old leaves with the log; it goes on at the next. */
const CHECK_MS = 1_000;
const PRUNE_MS = 300;
/** A leaf that keeps its rows is worth a line, not one every few seconds. */
const SAID_AGAIN_AFTER_MS = 600_000;

export function createRing(context: RingContext): Ring {
  const checks = new Map<number, LeafCheck>();
  const said = new Map<number, { what: Emptying['kind']; atMs: number }>();
  let pruneDue = true;

  /** Once for each state that a leaf is in, and now and then. */
  function tell(segment: number, outcome: Emptying): void {
    const line = lineFor(segment, outcome);
    if (line === undefined || outcome.kind === 'emptied') said.delete(segment);
    if (line === undefined) return;
    const last = said.get(segment);
    const nowMs = performance.now();
    if (last?.what === outcome.kind && nowMs - last.atMs < SAID_AGAIN_AFTER_MS) return;
    said.set(segment, { what: outcome.kind, atMs: nowMs });
    if (line.level === 'info') context.logger.info(line.fields, line.message);
    else context.logger.warn(line.fields, line.message);
  }

  async function empty(segment: number, { lanes }: RingFacts, deadlineMs: number): Promise<Emptying> {
    const check = checks.get(segment) ?? createLeafCheck(context.session, segment);
    checks.set(segment, check);
    const budgetMs = Math.max(0, deadlineMs - performance.now());
    const outcome = await check.emptyIfStored({ epoch: context.epoch, settled: lanes, budgetMs });
    if (outcome.kind === 'emptied') pruneDue = true;
    tell(segment, outcome);
    return outcome;
  }

  async function emptyOld(leaves: readonly number[], facts: RingFacts): Promise<RingTurn> {
    const uncovered: UncoveredLeaf[] = [];
    const deadlineMs = performance.now() + CHECK_MS;
    // Written or read again: what was known of such a leaf is out of date.
    for (const segment of SEGMENTS) if (!leaves.includes(segment)) checks.delete(segment);
    for (const segment of leaves) {
      const outcome = await empty(segment, facts, deadlineMs);
      if (outcome.kind === 'fenced') return outcome;
      if (outcome.kind === 'uncovered') uncovered.push({ segment, found: outcome.found });
    }
    return { kind: 'done', uncovered };
  }

  return {
    async turn(facts) {
      const { session } = context;
      const current = await currentSegment(session);
      const leaves = new Map<number, SegmentFacts>();
      for (const segment of SEGMENTS) {
        const known = await segmentFacts(session, segment);
        if (known !== undefined) leaves.set(segment, known);
      }
      measureRing(context.metrics, { leaves, current, retentionMs: context.retentionMs });
      const turn = await emptyOld(oldLeaves(leaves, current, { ...context, ...facts }), facts);
      if (turn.kind === 'fenced') return turn;
      if (pruneDue) pruneDue = await prune(facts, context);
      return (await rotate(leaves, current, { ...context, ...facts })) === 'fenced'
        ? { kind: 'fenced' }
        : turn;
    },
  };
}

function oldLeaves(
  leaves: ReadonlyMap<number, SegmentFacts>,
  current: number,
  { captures, retentionMs }: RingContext & RingFacts,
): number[] {
  const used = new Set([current]);
  for (const { state } of captures)
    for (const segment of [state.segment, ...state.liveSegments]) used.add(segment);
  return [...leaves.values()]
    .filter(
      ({ segment, newestMs, nowMs }) =>
        !used.has(segment) && newestMs !== null && nowMs - newestMs > retentionMs,
    )
    .map(({ segment }) => segment);
}

async function rotate(
  leaves: ReadonlyMap<number, SegmentFacts>,
  current: number,
  context: RingContext & RingFacts,
): Promise<'done' | 'fenced'> {
  const [from, to] = [leaves.get(current), leaves.get(nextSegment(current))];
  if (from === undefined || to === undefined || to.newestMs !== null || !full(from, context)) return 'done';
  for (const capture of context.captures) capture.addSegment(to.segment); // S2: live before the switch.
  return (await rotateIfLeading(context.session, context.epoch, to.segment)) ? 'done' : 'fenced';
}

function full({ bytes, oldestMs, nowMs }: SegmentFacts, { segmentBytes, retentionMs }: RingContext): boolean {
  if (oldestMs === null) return false;
  return bytes >= segmentBytes || nowMs - oldestMs >= retentionMs / (SEGMENTS.length - SPARE_SEGMENTS);
}

/** Log rows go with the leaves they describe. Returns whether some are left for the next turn. */
async function prune({ lanes, openFrom }: RingFacts, { session, epoch }: RingContext): Promise<boolean> {
  const lowestRow = await lowestPosition(session);
  const logs = settledLogs(await lastRows(session), lanes);
  if (lowestRow === 'busy') return true;
  const deadlineMs = performance.now() + PRUNE_MS;
  let left = false;
  for (const log of logs) {
    let more = true;
    while (more && performance.now() < deadlineMs) {
      const pruned = await pruneIfLeading(session, log, { epoch, openFrom, lowestRow });
      more = pruned.more;
      if (pruned.rows === 0) break;
    }
    left ||= more;
  }
  return left;
}

function lineFor(segment: number, outcome: Emptying) {
  switch (outcome.kind) {
    case 'emptied':
      return {
        level: 'info',
        fields: { event: 'segment-emptied', segment },
        message: `segment ${segment} is past the retention and was emptied`,
      } as const;
    case 'unsettled':
      return {
        level: 'warn',
        fields: { event: 'segment-unsettled', segment, rows: outcome.rows, streams: outcome.streams },
        message: `segment ${segment} is past the retention and keeps its rows: some are planned and not known to be stored in ${outcome.streams.join(', ')}`,
      } as const;
    case 'uncovered':
      return {
        level: 'warn',
        fields: { event: 'segment-uncovered', segment, rows: outcome.rows },
        message: `segment ${segment} is past the retention and keeps ${outcome.rows} rows that no plan holds: "postcommit audit" names them`,
      } as const;
    default:
      return undefined;
  }
}
