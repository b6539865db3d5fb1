import { countDeadLetters } from '../dead-letters/count.ts';
import { pruneLetters } from '../dead-letters/letters.ts';
import { sleep } from '../lifecycle/abort.ts';
import type { Capture } from '../outbox/capture.ts';
import { readBacklog } from '../outbox/read.ts';
import type { Session } from '../postgres/session.ts';
import { pruneRequests } from '../requests/requests.ts';
import { guardSequence } from './guard-sequence.ts';
import type { Lane } from './lane.ts';
import type { LaneMeter } from './lane-meter.ts';
import type { LineUp } from './line-up.ts';
import type { ResolvedOptions } from './options.ts';
import { turnRing } from './ring.ts';

export interface MaintenanceContext {
  /** Of its own: a slow chore must not hold up reading and planning. */
  readonly session: Session;
  readonly epoch: number;
  /** The lead's. */
  readonly capture: Capture;
  readonly lineUp: LineUp;
  readonly lanes: readonly Lane[];
  readonly meters: readonly LaneMeter[];
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
  lanes,
  options,
}: MaintenanceContext): Promise<'fenced' | 'done'> {
  const { retentionMs, segmentBytes, logger, metrics } = options;
  await Promise.all(lanes.map((lane) => lane.probe()));
  await pruneLetters(session, retentionMs);
  await pruneRequests(session);
  await guardSequence(session, { cursor: capture.state.cursor, logger });
  metrics.deadLetters.set(await countDeadLetters(session));
  const [lane] = lanes;
  if (lane === undefined) return 'done';
  return turnRing({ session, epoch, capture, lane, retentionMs, segmentBytes, logger });
}

async function updateGauges({
  session,
  capture,
  lineUp,
  lanes,
  meters,
  options: { metrics },
}: MaintenanceContext): Promise<void> {
  for (const meter of meters) meter.flush();
  const { cursor, gapsOpen } = capture.state;
  // Asked here, not remembered by the loop: while a lane is paused nobody reads, and the backlog grows all the same.
  const backlog = await readBacklog(session, cursor);
  const { events: behind, sinceMs } = lineUp.behind;
  const inFlight = lanes.reduce((sum, { pending }) => sum + pending, 0);
  metrics.pendingEvents.set(inFlight + behind + backlog.positions);
  metrics.gapsOpen.set(gapsOpen);
  const waiting = [...lanes.map(({ oldest }) => oldest?.createdAtMs), sinceMs, backlog.oldestMs];
  const oldestMs = Math.min(...waiting.map((ms) => ms ?? Number.POSITIVE_INFINITY));
  metrics.oldestPendingAge.set(Number.isFinite(oldestMs) ? Math.max(0, Date.now() - oldestMs) / 1_000 : 0);
}
