import { SEGMENTS } from '../../outbox/live-segments.ts';
import type { SegmentFacts } from '../../outbox/segments.ts';
import type { Metrics } from '../../telemetry/metrics.ts';

export interface RingState {
  /** Those that could be looked at. */
  readonly leaves: ReadonlyMap<number, SegmentFacts>;
  /** The leaf that inserts go to. */
  readonly current: number;
  readonly retentionMs: number;
}

/** Shows the ring as it was found; with a leaf that somebody keeps everyone out of, the sums stay as they were. */
export function measureRing(metrics: Metrics, { leaves, current, retentionMs }: RingState): void {
  for (const { segment, bytes } of leaves.values()) metrics.segmentBytes.set({ segment }, bytes);
  if (leaves.size < SEGMENTS.length) return;
  const all = [...leaves.values()];
  const isOverdue = ({ segment, newestMs, nowMs }: SegmentFacts) =>
    segment !== current && newestMs !== null && nowMs - newestMs > retentionMs;
  metrics.outboxBytes.set(all.reduce((sum, { bytes, indexBytes }) => sum + bytes + indexBytes, 0));
  metrics.segmentsInUse.set(all.filter(({ newestMs }) => newestMs !== null).length);
  metrics.segmentsOverdue.set(all.filter(isOverdue).length);
}
