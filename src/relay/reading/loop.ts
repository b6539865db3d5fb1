import type { WakeUp } from '../../lifecycle/wake-up.ts';
import type { Capture } from '../../outbox/capture.ts';
import type { LineUp } from './line-up.ts';
import type { Lookout } from './lookout.ts';
import type { Pacer } from './pacer.ts';

export interface LoopContext {
  readonly lineUp: LineUp;
  readonly capture: Capture;
  readonly lookout: Lookout;
  readonly pacer: Pacer;
  readonly wakeUp: WakeUp;
  /** Called at each turn: the relay is alive. */
  readonly turn: () => void;
}

/** `stopped`: the signal asked for it. `fenced`: another relay leads. */
export type LoopEnd = 'stopped' | 'fenced';

/**
 * The relay's loop: wait until lanes can take more, look, plan and publish, list, wait for the next turn. What NATS does
 * wrong is each lane's own affair (`Lane.tend`); an error of the database ends the loop, and a new term starts from the
 * log.
 */
export async function runLoop(context: LoopContext, signal: AbortSignal): Promise<LoopEnd> {
  while (!signal.aborted) {
    context.turn();
    if (!(await context.lineUp.assemble(signal))) continue;
    if ((await advance(context, signal)) === 'fenced') return 'fenced';
  }
  return 'stopped';
}

/** A turn: look and plan, learn who still holds the lock, wait. */
async function advance(
  { lineUp, capture, lookout, pacer }: LoopContext,
  signal: AbortSignal,
): Promise<'done' | 'fenced'> {
  const { look, outcome } = await lineUp.advance({ checkpoint: false });
  if (outcome === 'fenced') return 'fenced';
  if (outcome === 'refused') return 'done';
  if (!lookout.ahead && capture.listingDue(performance.now())) await capture.list();
  const seen = { events: look.events.length, cut: look.cut || look.gaps.cutOff, calm: lineUp.calm };
  return (await pacer.next(seen, signal)) === 'fenced' ? 'fenced' : 'done';
}
