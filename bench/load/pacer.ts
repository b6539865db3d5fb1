/** A worker thread that says when each of a list of moments has come: a timer of the event loop is late by up to 1 ms. */
import { parentPort } from 'node:worker_threads';

export interface Schedule {
  /** On the clock of `process.hrtime`, which all threads share. */
  readonly startNs: bigint;
  readonly offsetsMs: Float64Array;
}

const never = new Int32Array(new SharedArrayBuffer(4));

parentPort?.on('message', ({ startNs, offsetsMs }: Schedule) => {
  for (const offsetMs of offsetsMs) {
    const restMs = offsetMs - Number(process.hrtime.bigint() - startNs) / 1e6;
    if (restMs > 0) Atomics.wait(never, 0, 0, restMs);
    parentPort?.postMessage(null);
  }
});
