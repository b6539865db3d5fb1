/**
 * The thread behind `load/open-loop.ts`: says when arrivals are due. A thread of its own may sleep for fractions of a
 * millisecond, which timers cannot.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { monotonicMicros } from './clock.ts';

export interface Pacing {
  readonly startMicros: number;
  /** Microseconds from the start, ascending. */
  readonly intended: Float64Array;
}

const { startMicros, intended } = workerData as Pacing;
const never = new Int32Array(new SharedArrayBuffer(4));

for (let due = 0; due < intended.length; ) {
  const elapsed = monotonicMicros() - startMicros;
  const restMicros = (intended[due] ?? 0) - elapsed;
  if (restMicros > 0) {
    Atomics.wait(never, 0, 0, restMicros / 1_000);
    continue;
  }
  while (due < intended.length && (intended[due] ?? 0) <= elapsed) due++;
  parentPort?.postMessage(due);
}
