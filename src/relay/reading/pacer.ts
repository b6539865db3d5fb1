import type { WakeUp } from '../../lifecycle/wake-up.ts';
import type { Holders } from '../../outbox/holders.ts';
import { type ParkingFlag, parkIfLeading, unparkIfLeading } from '../../outbox/parking.ts';
import type { Session } from '../../postgres/session.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { createCadence } from './cadence.ts';

/**
 * When to look next. While events flow the relay polls and writers pay nothing; when they stop it parks, and writers
 * notify. The order of parking loses nobody:
 *   P1  Raise the flag; list the holders; go on looking until all of those have ended (they may have seen it down);
 *       look once more; if that look is empty, sleep.
 *   P2  The flag lapses by itself and is renewed in time. A renewal that replaces another value than its own, or a
 *       lapsed one, or that is late by the monotonic clock, means that writers may have kept silent: start over.
 *   P3  Never park while commits may wait for a standby, or while the session that listens is in doubt.
 * A sweep looks every few seconds all the same; what only it finds is counted, and must stay nothing.
 */
export interface Pacer {
  /** Waits until the next look is due. `fenced`: another epoch leads. */
  next(seen: Seen, signal: AbortSignal): Promise<'look' | 'fenced'>;
  /** Takes the flag down, at a clean end. */
  close(): Promise<void>;
  readonly parked: boolean;
}

/** What the last look brought. */
export interface Seen {
  readonly events: number;
  /** There was more than one look takes. */
  readonly cut: boolean;
  /** Lanes are neither in doubt nor paused, and nothing is in flight. */
  readonly calm: boolean;
}

export interface PacerOptions {
  readonly session: Session;
  readonly epoch: number;
  readonly wakeUp: WakeUp;
  readonly metrics: Metrics;
  /** Lists the holders now. */
  readonly list: () => Promise<Holders>;
  readonly mayPark: () => boolean;
}

/** While more may come at any moment. */
const POLL_SOON_MS = 8;
/** An idle relay that may not park looks this often. */
const POLL_MAX_MS = 25;
/** Quiet for this long, the relay parks. */
const PARK_AFTER_MS = 150;
const FLAG_SECONDS = 3;
const RENEW_MS = 1_000;
/** A renewal this late may have found the flag down. */
const RENEW_LATE_MS = 2_000;
const SWEEP_MS = 5_000;
const NOTIFICATION_GRACE_MS = 100;
const STANDBYS_RECHECK_MS = 10_000;

type Phase =
  | { readonly kind: 'awake' }
  /** P1: the flag is up, these holders may not have seen it. Empty: one more look is under way. */
  | { readonly kind: 'parking'; readonly waitFor: ReadonlySet<string> }
  | { readonly kind: 'parked' };

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one closure over the phase, its transitions named below.
export function createPacer(options: PacerOptions): Pacer {
  const { session, epoch, wakeUp, metrics, list, mayPark } = options;
  let phase: Phase = { kind: 'awake' };
  let flag = 0;
  let renewedAtMs = 0;
  let quietSinceMs: number | null = null;
  let sweptAtMs = 0;
  let sweeping = false;
  let parkNotBeforeMs = 0;
  let pollMs = 0;
  const cadence = createCadence();

  /** Raises or renews the flag. `doubtful`: someone else moved it, or it lapsed in between (P2). */
  async function raise(): Promise<'raised' | 'doubtful' | 'never' | 'fenced'> {
    const startedAtMs = performance.now();
    const late = flag !== 0 && startedAtMs - renewedAtMs > RENEW_LATE_MS;
    const result: ParkingFlag | undefined = await parkIfLeading(session, epoch, FLAG_SECONDS);
    if (result === undefined) return 'fenced';
    if (result.synchronousStandbys) return 'never';
    const moved = flag !== 0 && (result.replaced !== flag || result.lapsed);
    flag = result.set;
    renewedAtMs = startedAtMs;
    return late || moved ? 'doubtful' : 'raised';
  }

  async function awaken(): Promise<'look' | 'fenced'> {
    const wasUp = flag !== 0;
    phase = { kind: 'awake' };
    flag = 0;
    quietSinceMs = null;
    pollMs = cadence.intervalMs;
    return !wasUp || (await unparkIfLeading(session, epoch)) ? 'look' : 'fenced';
  }

  async function startParking(): Promise<'look' | 'fenced'> {
    const raised = await raise();
    if (raised === 'fenced') return 'fenced';
    if (raised === 'never') {
      parkNotBeforeMs = performance.now() + STANDBYS_RECHECK_MS;
      return awaken();
    }
    phase = { kind: 'parking', waitFor: new Set((await list()).keys()) };
    return 'look';
  }

  async function goOnParking(waitFor: ReadonlySet<string>, signal: AbortSignal): Promise<'look' | 'fenced'> {
    if (waitFor.size === 0) {
      phase = { kind: 'parked' }; // The look that has just come back empty began after the last of them had ended.
      sweptAtMs = performance.now();
      return sleepParked(signal);
    }
    const stay = await stayParked();
    if (stay !== 'parked') return stay;
    await wakeUp.wait(POLL_MAX_MS, signal);
    const holders = await list();
    phase = { kind: 'parking', waitFor: new Set([...waitFor].filter((id) => holders.has(id))) };
    return 'look';
  }

  /** Renews the flag if that is due. Not `parked`: writers may have kept silent, look; or step down. */
  async function stayParked(): Promise<'parked' | 'look' | 'fenced'> {
    if (performance.now() - renewedAtMs < RENEW_MS) return 'parked';
    const raised = await raise();
    if (raised === 'raised') return 'parked';
    return raised === 'fenced' ? 'fenced' : awaken();
  }

  async function sleepParked(signal: AbortSignal): Promise<'look' | 'fenced'> {
    sweeping = false;
    while (!signal.aborted) {
      const stay = await stayParked();
      if (stay !== 'parked') return stay;
      const now = performance.now();
      if (now - sweptAtMs >= SWEEP_MS) {
        sweptAtMs = now;
        sweeping = true;
        metrics.wakeups.inc({ source: 'sweep' });
        return 'look';
      }
      // A renewal may have become due since it was asked about.
      const restMs = Math.max(0, Math.min(sweptAtMs + SWEEP_MS, renewedAtMs + RENEW_MS) - now);
      if (await wakeUp.wait(restMs, signal)) {
        metrics.wakeups.inc({ source: 'notify' });
        return awaken();
      }
    }
    return 'look';
  }

  /** A notification that was still on its way when the sweep looked is no lost one. */
  async function countSweepFind(events: number, signal: AbortSignal): Promise<void> {
    sweeping = false;
    if (!(await wakeUp.wait(NOTIFICATION_GRACE_MS, signal))) metrics.sweepFoundEvents.inc(events);
  }

  async function poll(seen: Seen, signal: AbortSignal): Promise<'look' | 'fenced'> {
    const now = performance.now();
    cadence.looked(seen.events, now);
    if (seen.events > 0 || !seen.calm) {
      quietSinceMs = null;
      pollMs = cadence.intervalMs;
    } else {
      quietSinceMs ??= now;
      const quiet = now - quietSinceMs >= PARK_AFTER_MS;
      if (quiet && now >= parkNotBeforeMs && mayPark()) return startParking();
      pollMs = Math.min(pollMs * 1.5, quiet ? POLL_MAX_MS : POLL_SOON_MS);
    }
    metrics.wakeups.inc({ source: 'poll' });
    if (!seen.cut) await wakeUp.wait(cadence.restMs(pollMs, now), signal);
    cadence.started(performance.now());
    return 'look';
  }

  return {
    get parked() {
      return phase.kind === 'parked';
    },
    async next(seen, signal) {
      if (phase.kind === 'awake') return poll(seen, signal);
      if (seen.events > 0 && sweeping) await countSweepFind(seen.events, signal);
      if (seen.events > 0 || !seen.calm || !mayPark()) return awaken();
      if (phase.kind === 'parking') return goOnParking(phase.waitFor, signal);
      return sleepParked(signal);
    },
    async close() {
      if (flag !== 0) await unparkIfLeading(session, epoch);
      flag = 0;
    },
  };
}
