import { countDeadLetters } from '../dead-letters/count.ts';
import { sleep } from '../lifecycle/abort.ts';
import type { Capture } from '../outbox/capture.ts';
import { readBacklog } from '../outbox/read.ts';
import type { Session } from '../postgres/session.ts';
import { guardSequence } from './guard-sequence.ts';
import type { Lane } from './lane.ts';
import type { LaneMeter } from './lane-meter.ts';
import type { ResolvedOptions } from './options.ts';
import { turnRing } from './ring.ts';

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
const CHORES_EVERY_MS = 5_000;

/** What has to be done now and then: gauges, the ring of segments, the probe of an idle stream. */
export async function runMaintenance(
  context: MaintenanceContext,
  signal: AbortSignal,
): Promise<'fenced' | 'stopped'> {
  let choresAtMs = performance.now();
  while (!signal.aborted) {
    await updateGauges(context);
    if (performance.now() - choresAtMs >= CHORES_EVERY_MS) {
      choresAtMs = performance.now();
      if ((await doChores(context)) === 'fenced') return 'fenced';
    }
    await sleep(GAUGES_EVERY_MS, signal);
  }
  return 'stopped';
}

async function doChores({
  session,
  epoch,
  capture,
  lane,
  options,
}: MaintenanceContext): Promise<'fenced' | 'done'> {
  const { retentionMs, segmentBytes, logger, metrics } = options;
  await lane.probe();
  await guardSequence(session, { cursor: capture.state.cursor, logger });
  metrics.deadLetters.set(await countDeadLetters(session));
  return turnRing({ session, epoch, capture, lane, retentionMs, segmentBytes, logger });
}

async function updateGauges({
  session,
  capture,
  lane,
  meter,
  options: { metrics },
}: MaintenanceContext): Promise<void> {
  meter.flush();
  const { cursor, gapsOpen } = capture.state;
  // Asked here, not remembered by the loop: while a lane is paused nobody reads, and the backlog grows all the same.
  const backlog = await readBacklog(session, cursor);
  metrics.pendingEvents.set(lane.pending + backlog.positions);
  metrics.gapsOpen.set(gapsOpen);
  const oldestMs = lane.oldest?.createdAtMs ?? backlog.oldestMs;
  metrics.oldestPendingAge.set(oldestMs === undefined ? 0 : Math.max(0, Date.now() - oldestMs) / 1_000);
}
