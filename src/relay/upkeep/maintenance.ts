import { logBytes } from '../../batch-log/size.ts';
import { countDeadLetters } from '../../dead-letters/count.ts';
import { pruneLetters } from '../../dead-letters/letters.ts';
import { sleep } from '../../lifecycle/abort.ts';
import type { Capture } from '../../outbox/capture.ts';
import { notificationQueueUsage } from '../../outbox/notification-queue.ts';
import { readBacklog } from '../../outbox/read.ts';
import { assertNotSubscribed } from '../../outbox/suitability.ts';
import type { Session } from '../../postgres/session.ts';
import { withoutWaiting } from '../../postgres/without-waiting.ts';
import { pruneRequests } from '../../requests/requests.ts';
import { guardSequence } from '../guard-sequence.ts';
import type { Lane } from '../lane/lane.ts';
import type { LaneMeter } from '../lane/lane-meter.ts';
import type { ResolvedOptions } from '../options.ts';
import type { LineUp } from '../reading/line-up.ts';
import type { Auditor } from './auditor.ts';
import { moveFormerStreams } from './former-streams.ts';
import { createRing, type Ring } from './ring.ts';

export interface MaintenanceContext {
  /** Of its own: a slow chore must not hold up reading and planning. */
  readonly session: Session;
  readonly epoch: number;
  /** The lead's. */
  readonly capture: Capture;
  readonly lineUp: LineUp;
  readonly lanes: readonly Lane[];
  /** Of streams that are no lane any more: they settle what was planned. */
  readonly closing: readonly Lane[];
  readonly meters: readonly LaneMeter[];
  readonly auditor: Auditor;
  readonly options: ResolvedOptions;
}

const GAUGES_EVERY_MS = 1_000;
const CHORES_EVERY_MS = 5_000;
/** Of each turn: an audit of millions of rows must not stop the gauges. */
const AUDIT_MS = 2_000;

/** What has to be done now and then: gauges, the ring of segments, the probe of an idle stream. */
export async function runMaintenance(
  context: MaintenanceContext,
  signal: AbortSignal,
): Promise<'fenced' | 'stopped'> {
  const ring = createRing({ ...context, ...context.options });
  let choresAtMs = performance.now();
  while (!signal.aborted) {
    await updateGauges(context);
    if (performance.now() - choresAtMs >= CHORES_EVERY_MS) {
      choresAtMs = performance.now();
      if ((await doChores(context, ring)) === 'fenced') return 'fenced';
    }
    await context.auditor.turn(AUDIT_MS);
    await sleep(GAUGES_EVERY_MS, signal);
  }
  return 'stopped';
}

async function doChores(context: MaintenanceContext, ring: Ring): Promise<'fenced' | 'done'> {
  const { session, capture, lineUp, lanes, closing, auditor, options } = context;
  const { retentionMs, logger } = options;
  await Promise.all(lanes.map((lane) => lane.probe()));
  await pruneLetters(session, retentionMs);
  await pruneRequests(session);
  await assertNotSubscribed(session);
  const guarded = await guardSequence(session, { cursor: capture.state.cursor, logger });
  if (guarded.kind === 'moved') void auditor.search(guarded);
  await measure(context);
  const { captures } = lineUp;
  if ((await moveFormer(context)) === 'fenced') return 'fenced';
  const turn = await ring.turn({
    captures,
    // What a lane in doubt knows is out of date; the log says what it knew for certain.
    lanes: [...lanes, ...closing]
      .filter(({ state }) => state.kind === 'flowing')
      .map(({ settled }) => settled),
    openFrom: Math.min(...captures.map(({ state }) => state.openFrom)),
  });
  if (turn.kind === 'fenced') return 'fenced';
  for (const { segment, found } of turn.uncovered) auditor.offer(segment, found);
  return 'done';
}

/** Streams that are no lane any more, and have nothing left to settle. */
function moveFormer({ session, epoch, lineUp, lanes, closing }: MaintenanceContext) {
  const states = lineUp.captures.map(({ state }) => state);
  const present = [...lanes, ...closing.filter(({ ended }) => !ended)].map(({ stream }) => stream);
  return moveFormerStreams(session, {
    epoch,
    present: new Set(present),
    reading: {
      readTo: Math.min(...states.map(({ cursor }) => cursor)),
      openFrom: Math.min(...states.map(({ openFrom }) => openFrom)),
    },
  });
}

/** What nobody has to know by the second. */
async function measure({ session, options: { metrics } }: MaintenanceContext): Promise<void> {
  metrics.deadLetters.set(await countDeadLetters(session));
  metrics.notificationQueueUsage.set(await notificationQueueUsage(session));
  const bytes = await logBytes(session);
  if (bytes !== 'busy') metrics.batchLogBytes.set(bytes);
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
  const backlog = await withoutWaiting(session, () => readBacklog(session, cursor));
  if (backlog === 'busy') return; // Somebody keeps everyone out of a leaf (a VACUUM FULL).
  const { events: behind, sinceMs } = lineUp.behind;
  const inFlight = lanes.reduce((sum, { pending }) => sum + pending, 0);
  metrics.pendingEvents.set(inFlight + behind + backlog.positions);
  metrics.gapsOpen.set(gapsOpen);
  const waiting = [...lanes.map(({ oldest }) => oldest?.createdAtMs), sinceMs, backlog.oldestMs];
  const oldestMs = Math.min(...waiting.map((ms) => ms ?? Number.POSITIVE_INFINITY));
  metrics.oldestPendingAge.set(Number.isFinite(oldestMs) ? Math.max(0, Date.now() - oldestMs) / 1_000 : 0);
}
