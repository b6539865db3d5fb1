import type { WakeUp } from '../lifecycle/wake-up.ts';
import type { Capture, Look } from '../outbox/capture.ts';
import type { Lane } from './lane.ts';
import type { Pacer } from './pacer.ts';

export interface LoopContext {
  readonly lane: Lane;
  readonly capture: Capture;
  readonly pacer: Pacer;
  readonly wakeUp: WakeUp;
  /** Called at each turn: the relay is alive. */
  readonly turn: () => void;
}

/** `stopped`: the signal asked for it. `fenced`: another relay leads. */
export type LoopEnd = 'stopped' | 'fenced';

const WAIT_AT_MOST_MS = 1_000;

/**
 * The relay's loop: clear doubts, wait for room, look, plan and publish, accept, list, wait for the next turn. What
 * NATS does wrong is handled by `clear`; an error of the database ends the loop, and a new term starts from the log.
 */
export async function runLoop(context: LoopContext, signal: AbortSignal): Promise<LoopEnd> {
  while (!signal.aborted) {
    context.turn();
    const cleared = await context.lane.clear(signal);
    if (cleared === 'fenced') return 'fenced';
    if (cleared === 'waiting') await waitForRetry(context, signal);
    else if (!context.lane.hasRoom()) await waitForRoom(context.lane, signal);
    else if ((await advance(context, signal)) === 'fenced') return 'fenced';
  }
  return 'stopped';
}

/** A turn with a clear lane: look, plan, learn who still holds the lock, wait. */
async function advance(
  { lane, capture, pacer }: LoopContext,
  signal: AbortSignal,
): Promise<'done' | 'fenced'> {
  const seen = await capturePlanned(lane, capture);
  if (seen === 'fenced') return 'fenced';
  if (seen === 'refused') return 'done';
  if (capture.listingDue(performance.now())) await capture.list();
  return (await pacer.next(seen, signal)) === 'fenced' ? 'fenced' : 'done';
}

/** One look and its plan. Nothing is accepted before it is planned, so a failure in between loses nothing. */
async function capturePlanned(lane: Lane, capture: Capture) {
  const look: Look = await capture.look();
  const events = look.events.length;
  if (events > 0) {
    const outcome = await lane.plan(look);
    if (outcome !== 'planned') return outcome;
  }
  capture.accept(look);
  return {
    events,
    cut: look.cut || look.gaps.cutOff,
    calm: lane.state.kind === 'flowing' && lane.pending === 0,
  };
}

async function waitForRoom(lane: Lane, signal: AbortSignal): Promise<void> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(WAIT_AT_MOST_MS)]);
  await lane.until(() => lane.hasRoom() || lane.state.kind !== 'flowing', bounded);
}

async function waitForRetry({ lane, wakeUp }: LoopContext, signal: AbortSignal): Promise<void> {
  const ms = Math.min(Math.max(lane.retryAtMs - performance.now(), 0), WAIT_AT_MOST_MS);
  await wakeUp.wait(ms, signal);
}
