import { sleep } from '../lifecycle/abort.ts';
import { type Capture, unreadPositions } from '../outbox/capture.ts';
import type { Session } from '../postgres/session.ts';
import type { Lane } from './lane.ts';
import type { LaneMeter } from './lane-meter.ts';
import type { ResolvedOptions } from './options.ts';

export interface MaintenanceContext {
  /** Of its own: a slow chore must not hold up reading and planning. */
  readonly session: Session;
  readonly epoch: number;
  readonly capture: Capture;
  readonly lane: Lane;
  readonly meter: LaneMeter;
  readonly options: ResolvedOptions;
}

const GAUGES_EVERY_MS = 1_000;

/** What has to be done now and then: gauges, the ring of segments, the probe of an idle stream. */
export async function runMaintenance(context: MaintenanceContext, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    updateGauges(context);
    await sleep(GAUGES_EVERY_MS, signal);
  }
}

function updateGauges({ capture, lane, meter, options: { metrics } }: MaintenanceContext): void {
  meter.flush();
  metrics.pendingEvents.set(lane.pending + unreadPositions(capture.state));
  metrics.gapsOpen.set(capture.state.gapsOpen);
  metrics.oldestPendingAge.set(
    lane.oldest === undefined ? 0 : Math.max(0, Date.now() - lane.oldest.createdAtMs) / 1_000,
  );
}
