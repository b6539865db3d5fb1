import { sleep } from '../../lifecycle/abort.ts';
import type { Capture, Look } from '../../outbox/capture.ts';
import type { Lane } from '../lane/lane.ts';
import type { Lookout } from './lookout.ts';
import { type LookPlanner, planLook, type Reader } from './plan-look.ts';
import { createStraggler, type Straggler } from './straggler.ts';

/**
 * Which lanes share the lead's looks, and which read on their own. Lanes at the same place share one read; one whose
 * stream is full or down leaves after a moment and delays none of the others.
 */
export interface LineUp {
  /** True when the lead can look: everybody who reads with it can take its part. Waits a little otherwise. */
  assemble(signal: AbortSignal): Promise<boolean>;
  /** One look of the lead, planned for all who read with it. `refused`: nobody could take it. */
  advance(options: {
    checkpoint: boolean;
  }): Promise<{ look: Look; outcome: 'planned' | 'refused' | 'fenced' }>;
  /** All lanes that read with the lead publish, and have nothing in flight. */
  readonly calm: boolean;
  /** Events that wait for lanes which read on their own. */
  readonly behind: { readonly events: number; readonly sinceMs: number | undefined };
  /** All captures that are in use. */
  readonly captures: readonly Capture[];
  /** The one that reads events with this subject for their lane. */
  readerOf(subject: string): Capture;
}

export interface LineUpOptions {
  readonly capture: Capture;
  readonly lookout: Lookout;
  readonly planner: LookPlanner;
  readonly wake: () => void;
  /** Starts what a lane on its own does; a straggler that ends by an error or another epoch ends the term. */
  readonly run: (straggler: Straggler) => void;
}

/** A window that is full for a moment, or a reconnect, is no reason to leave. */
const GRACE_MS = 100;
const WAIT_AT_MOST_MS = 1_000;
/** Every lane reads on its own, and the first to catch up is waited for. */
const ALONE_MS = 20;

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one closure over who reads where, its parts named below.
export function createLineUp({ capture, lookout, planner, wake, run }: LineUpOptions): LineUp {
  const lead = new Set<Lane>(planner.lanes);
  const stragglers = new Map<Lane, Straggler>();
  let waitingSinceMs: number | undefined;

  const leave = (lane: Lane) => {
    lead.delete(lane);
    const straggler = createStraggler({ lane, capture: capture.fork(), planner, wake });
    stragglers.set(lane, straggler);
    run(straggler);
  };
  const returning = () => [...stragglers.values()].filter(({ waiting, lane }) => waiting && lane.ready);

  async function waitForAny(lanes: readonly Lane[], ms: number, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const bounded = AbortSignal.any([signal, over.signal]);
    await Promise.race([sleep(ms, bounded), ...lanes.map((lane) => lane.until(() => lane.ready, bounded))]);
    over.abort();
  }

  /** Counts what the lead passes over for lanes that read on their own. */
  function countPassed({ events }: Look): void {
    if (stragglers.size === 0) return;
    for (const { subject, createdAtMs } of events) {
      const lane = planner.lanes[Math.max(0, planner.router(subject))];
      const straggler = lane === undefined ? undefined : stragglers.get(lane);
      if (straggler === undefined) continue;
      straggler.behind++;
      straggler.behindSinceMs ??= createdAtMs;
    }
  }

  const leaveBehind = (lanes: readonly Lane[]): true => {
    waitingSinceMs = undefined;
    for (const lane of lanes) leave(lane);
    return true;
  };

  /** Those whose own look, between two of the lead's, has found everything. */
  async function caughtUp(claimed: readonly Straggler[]): Promise<Straggler[]> {
    for (const straggler of claimed) straggler.claim();
    const found: Straggler[] = [];
    for (const straggler of claimed) {
      // Another epoch is met again by the lead's own plan.
      if ((await straggler.catchUp()) === 'found-all' && straggler.lane.ready) found.push(straggler);
    }
    return found;
  }

  return {
    async assemble(signal) {
      const unready = [...lead].filter((lane) => !lane.ready);
      const others = unready.length < lead.size || returning().length > 0;
      if (unready.length === 0 && others) {
        waitingSinceMs = undefined;
        return true;
      }
      waitingSinceMs ??= performance.now();
      const graceMs = waitingSinceMs + GRACE_MS - performance.now();
      if (others && graceMs <= 0) return leaveBehind(unready);
      if (lead.size === 0) await sleep(ALONE_MS, signal);
      else await waitForAny(unready, others ? graceMs : WAIT_AT_MOST_MS, signal);
      return false;
    },
    async advance({ checkpoint }) {
      // A look that is under way began too early for them.
      const claimed = lookout.ahead ? [] : returning();
      const joining = await caughtUp(claimed);
      const look = await lookout.next();
      const whole = !look.cut && !look.gaps.cutOff;
      const readers: Reader[] = [...lead].map((lane) => ({ lane }));
      if (whole) readers.push(...joining.map(({ lane, capture: since }) => ({ lane, since })));
      const stayed = new Set<Lane>();
      const outcome = await planLook(planner, look, {
        capture,
        readers,
        checkpoint,
        onRefused(lanes) {
          for (const lane of lanes) {
            stayed.add(lane);
            if (lead.has(lane)) leave(lane);
          }
        },
        whilePlanning: () => (look.cut && !checkpoint ? lookout.runAhead() : undefined),
      });
      for (const straggler of claimed) {
        const joins = joining.includes(straggler) && !stayed.has(straggler.lane);
        if (outcome === 'planned' && whole && joins) {
          stragglers.delete(straggler.lane);
          lead.add(straggler.lane);
          straggler.end();
        }
        straggler.release();
      }
      if (outcome === 'planned') countPassed(look);
      return { look, outcome };
    },
    get calm() {
      return [...lead].every(({ state, pending }) => state.kind === 'flowing' && pending === 0);
    },
    get behind() {
      let [events, sinceMs] = [0, undefined as number | undefined];
      for (const straggler of stragglers.values()) {
        events += straggler.behind;
        sinceMs = Math.min(
          sinceMs ?? Number.POSITIVE_INFINITY,
          straggler.behindSinceMs ?? Number.POSITIVE_INFINITY,
        );
      }
      return { events, sinceMs: sinceMs === Number.POSITIVE_INFINITY ? undefined : sinceMs };
    },
    readerOf(subject) {
      const lane = planner.lanes[Math.max(0, planner.router(subject))];
      return (lane === undefined ? undefined : stragglers.get(lane)?.capture) ?? capture;
    },
    get captures() {
      return [capture, ...[...stragglers.values()].map((straggler) => straggler.capture)];
    },
  };
}
