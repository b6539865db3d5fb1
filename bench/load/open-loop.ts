import { Worker } from 'node:worker_threads';
import { monotonicMicros } from './clock.ts';
import type { Pacing } from './pacing-worker.ts';

export interface Arrivals {
  readonly perSecond: number;
  readonly seconds: number;
  /** `poisson`: at random and independent of each other, as users come; in clusters and with pauses. */
  readonly pattern: 'constant' | 'poisson';
  /** The same seed, the same arrivals. Only `poisson` asks for one. */
  readonly seed?: number;
}

/** When each arrival is due: microseconds from the start, ascending. */
export function intendedMicros({ perSecond, seconds, pattern, seed = 1 }: Arrivals): Float64Array {
  const times = new Float64Array(Math.round(perSecond * seconds));
  const random = seededRandom(seed);
  let at = 0;
  for (let i = 0; i < times.length; i++) {
    times[i] = at;
    at += (pattern === 'constant' ? 1 : -Math.log(1 - random())) * (1_000_000 / perSecond);
  }
  return times;
}

export interface Issued {
  /** By the clock of `monotonicMicros`. */
  readonly intendedMicros: number;
  readonly issuedMicros: number;
}

const LEAD_MICROS = 20_000;

/**
 * Issues each arrival when it is due, however long those before it take: who waits for an answer before the next question
 * measures a system only while that is well (coordinated omission). Latencies count from the intended time, so that what is
 * late here counts as well. Resolves when all have come to an end.
 */
export async function runOpenLoop(
  intended: Float64Array,
  issue: (number: number) => Promise<void>,
): Promise<Issued[]> {
  const pacing: Pacing = { startMicros: monotonicMicros() + LEAD_MICROS, intended };
  const worker = new Worker(new URL('pacing-worker.ts', import.meta.url), { workerData: pacing });
  const issued: Issued[] = [];
  const running: Promise<void>[] = [];
  await new Promise<void>((resolve, reject) => {
    worker.once('error', reject).once('exit', () => resolve());
    worker.on('message', (due: number) => {
      while (issued.length < due) {
        const number = issued.length;
        const intendedMicros = pacing.startMicros + (intended[number] ?? 0);
        issued.push({ intendedMicros, issuedMicros: monotonicMicros() });
        const run = issue(number);
        run.catch(() => undefined); // Thrown below.
        running.push(run);
      }
    });
  });
  await Promise.all(running);
  return issued;
}

/** mulberry32: from 0 to below 1. */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
