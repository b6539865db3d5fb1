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
 * The relay's loop: clear doubts, wait for room, look, plan and publish, list, wait for the next turn. What NATS does
 * wrong is handled by `clear`; an error of the database ends the loop, and a new term starts from the log.
 */
export async function runLoop(context: LoopContext, signal: AbortSignal): Promise<LoopEnd> {
  const lookout = createLookout(context.capture);
  while (!signal.aborted) {
    context.turn();
    const cleared = await context.lane.clear(signal);
    if (cleared === 'fenced') return 'fenced';
    if (cleared === 'waiting') await waitForRetry(context, signal);
    else if (!context.lane.hasRoom()) await waitForRoom(context.lane, signal);
    else if ((await advance(context, lookout, signal)) === 'fenced') return 'fenced';
  }
  return 'stopped';
}

/** A turn with a clear lane: look, plan, learn who still holds the lock, wait. */
async function advance(
  { lane, capture, pacer }: LoopContext,
  lookout: Lookout,
  signal: AbortSignal,
): Promise<'done' | 'fenced'> {
  const look = await lookout.next();
  if (lane.refuses(look)) return 'done';
  capture.accept(look);
  const planned = look.events.length === 0 ? 'planned' : lane.plan(look);
  if (look.cut) lookout.runAhead();
  if ((await planned) === 'fenced') return 'fenced';
  if (!lookout.ahead && capture.listingDue(performance.now())) await capture.list();
  const calm = lane.state.kind === 'flowing' && lane.pending === 0;
  const seen = { events: look.events.length, cut: look.cut || look.gaps.cutOff, calm };
  return (await pacer.next(seen, signal)) === 'fenced' ? 'fenced' : 'done';
}

/**
 * Looks, and with a backlog looks ahead: the next look is under way while the last one is being planned. A plan that
 * fails ends the term, and what was accepted for it with it.
 */
interface Lookout {
  next(): Promise<Look>;
  runAhead(): void;
  /** A look is under way or waits to be taken: no listing now (R4). */
  readonly ahead: boolean;
}

function createLookout(capture: Capture): Lookout {
  let ahead: Promise<Look> | undefined;
  return {
    next() {
      const look = ahead ?? capture.look();
      ahead = undefined;
      return look;
    },
    runAhead() {
      if (capture.listingDue(performance.now())) return;
      ahead = capture.look();
      ahead.catch(() => undefined); // Seen by whoever takes it; nobody does when the loop ends.
    },
    get ahead() {
      return ahead !== undefined;
    },
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
