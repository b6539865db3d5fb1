import { sleep } from '../../lifecycle/abort.ts';
import type { Capture } from '../../outbox/capture.ts';
import type { Lane } from '../lane/lane.ts';
import { type LookPlanner, planLook } from './plan-look.ts';

/**
 * A lane that could not keep up with the others (its stream is full, or down): it reads on its own from where it left,
 * delays nobody, and comes back when it has caught up.
 *
 * It comes back between two looks of the lead: a look of its own that finds everything, then one that they share. What
 * the first of the lead's had seen, its own sees as well, so what is open for it and not for the lead was rolled back.
 */
export interface Straggler {
  readonly lane: Lane;
  readonly capture: Capture;
  /** It has found everything and waits to be taken along. */
  readonly waiting: boolean;
  /** Events of its that the lead passed over, as far as they are known to wait. */
  behind: number;
  /** When the first of them was inserted, in milliseconds of the Unix epoch. */
  behindSinceMs: number | undefined;
  /** The lead takes it along: until `release()` it does not look by itself. */
  claim(): void;
  release(): void;
  /** One look of its own; called by the lead between two of its looks. */
  catchUp(): Promise<'found-all' | 'more' | 'fenced'>;
  /** It reads with the lead again. */
  end(): void;
  run(signal: AbortSignal): Promise<'joined' | 'stopped' | 'fenced'>;
}

const WAIT_AT_MOST_MS = 1_000;
/** How long it waits to be taken along before it looks again: a busy lead may have no time. */
const PATIENCE_MS = 50;

export interface StragglerOptions {
  readonly lane: Lane;
  readonly capture: Capture;
  readonly planner: LookPlanner;
  /** Tells the lead that somebody waits. */
  readonly wake: () => void;
}

export function createStraggler({ lane, capture, planner, wake }: StragglerOptions): Straggler {
  let waiting = false;
  let claimed = false;
  let changed = new AbortController();
  const joined = new AbortController();
  const notify = () => {
    changed.abort();
    changed = new AbortController();
  };

  async function catchUp(): Promise<'found-all' | 'more' | 'fenced'> {
    const look = await capture.look();
    const planned = await planLook(planner, look, {
      capture,
      readers: [{ lane }],
      onRefused: () => undefined,
    });
    if (planned === 'fenced') return 'fenced';
    if (planned === 'refused') return 'more';
    if (capture.listingDue(performance.now())) await capture.list();
    straggler.behind = Math.max(0, straggler.behind - look.events.length);
    straggler.behindSinceMs = look.events.at(-1)?.createdAtMs ?? straggler.behindSinceMs;
    if (look.cut || look.gaps.cutOff) return 'more';
    straggler.behind = 0;
    straggler.behindSinceMs = undefined;
    return 'found-all';
  }

  async function waitForLead(signal: AbortSignal): Promise<void> {
    waiting = true;
    wake();
    await sleep(PATIENCE_MS, AbortSignal.any([signal, joined.signal]));
    while (claimed && !signal.aborted && !joined.signal.aborted)
      await sleep(WAIT_AT_MOST_MS, AbortSignal.any([signal, joined.signal, changed.signal]));
    waiting = false;
  }

  const straggler: Straggler = {
    lane,
    capture,
    behind: 0,
    behindSinceMs: undefined,
    get waiting() {
      return waiting;
    },
    catchUp,
    claim() {
      claimed = true;
    },
    release() {
      claimed = false;
      notify();
    },
    end() {
      joined.abort();
    },
    async run(signal) {
      while (!signal.aborted) {
        const bounded = AbortSignal.any([signal, AbortSignal.timeout(WAIT_AT_MOST_MS)]);
        await lane.until(() => lane.ready, bounded);
        if (!lane.ready || signal.aborted) continue;
        const outcome = await catchUp();
        if (outcome === 'fenced') return 'fenced';
        if (outcome === 'found-all') await waitForLead(signal);
        if (joined.signal.aborted) return 'joined';
      }
      return 'stopped';
    },
  };
  return straggler;
}
