import { sleep } from '../../../src/lifecycle/abort.ts';

/** False if that has not come about in time. */
export async function until(condition: () => Promise<boolean> | boolean, withinMs: number): Promise<boolean> {
  for (const deadlineMs = performance.now() + withinMs; performance.now() < deadlineMs; await sleep(20)) {
    if (await condition()) return true;
  }
  return condition();
}

/** True if it has come about within that time, which is then not used up. */
export async function happens(event: Promise<unknown>, withinMs: number): Promise<boolean> {
  const over = new AbortController();
  const inTime = await Promise.race([event.then(() => true), sleep(withinMs, over.signal).then(() => false)]);
  over.abort();
  return inTime;
}
