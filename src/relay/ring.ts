import type { Capture } from '../outbox/capture.ts';
import { SEGMENTS } from '../outbox/live-segments.ts';
import {
  type Emptying,
  emptyIfStored,
  nextSegment,
  rotateIfLeading,
  type SegmentFacts,
  segmentFacts,
} from '../outbox/segments.ts';
import type { Session } from '../postgres/session.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Lane } from './lane.ts';

export interface RingContext {
  readonly session: Session;
  readonly epoch: number;
  readonly capture: Capture;
  readonly lane: Lane;
  readonly retentionMs: number;
  /** Inserts move on when the current leaf is this large. */
  readonly segmentBytes: number;
  readonly logger: Logger;
}

/** Two leaves of the ring are never old: the one being written and the one being emptied. */
const SPARE_SEGMENTS = 2;

/** Moves inserts on when it is time, and empties what is past the retention. Nobody ever waits for it. */
export async function turnRing(context: RingContext): Promise<'fenced' | 'done'> {
  const { session, capture } = context;
  const facts = new Map<number, SegmentFacts>();
  for (const segment of SEGMENTS) facts.set(segment, await segmentFacts(session, segment));
  const { segment, liveSegments } = capture.state;
  for (const old of facts.values()) {
    if (old.segment === segment || liveSegments.includes(old.segment) || !expired(old, context)) continue;
    const outcome = await empty(old.segment, context);
    if (outcome === 'fenced') return 'fenced';
  }
  const current = facts.get(segment);
  const next = facts.get(nextSegment(segment));
  if (current === undefined || next === undefined || next.newestMs !== null || !full(current, context))
    return 'done';
  capture.addSegment(next.segment); // S2: live before the switch.
  return (await rotateIfLeading(session, context.epoch, next.segment)) ? 'done' : 'fenced';
}

function expired({ newestMs, nowMs }: SegmentFacts, { retentionMs }: RingContext): boolean {
  return newestMs !== null && nowMs - newestMs > retentionMs;
}

function full({ bytes, oldestMs, nowMs }: SegmentFacts, { segmentBytes, retentionMs }: RingContext): boolean {
  if (oldestMs === null) return false;
  return bytes >= segmentBytes || nowMs - oldestMs >= retentionMs / (SEGMENTS.length - SPARE_SEGMENTS);
}

async function empty(segment: number, context: RingContext): Promise<Emptying['kind']> {
  const { session, epoch, capture, lane, logger } = context;
  const { openFrom } = capture.state;
  if (lane.settled.settledTo === null) return 'busy';
  const outcome = await emptyIfStored(session, {
    segment,
    epoch,
    stream: lane.stream,
    settledTo: lane.settled.settledTo,
    openFrom,
  });
  if (outcome.kind === 'emptied') {
    logger.info(
      { event: 'segment-emptied', segment, batches: outcome.batchesPruned },
      `segment ${segment} is past the retention and was emptied`,
    );
  } else if (outcome.kind === 'uncovered') {
    logger.warn(
      { event: 'segment-uncovered', segment, rows: outcome.rows },
      `segment ${segment} keeps ${outcome.rows} rows that no settled plan holds (stream down, or inserted with an explicit position)`,
    );
  }
  return outcome.kind;
}
