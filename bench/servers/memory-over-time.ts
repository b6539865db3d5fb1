import { processUsage } from './process-usage.ts';

/** Resident memory of a process, looked at twice a second until it is disposed of. */
export interface MemoryOverTime extends AsyncDisposable {
  /** Seconds since the beginning, and MiB. */
  readonly points: readonly (readonly [seconds: number, residentMiB: number])[];
}

const EVERY_MS = 500;

export function watchMemory(pid: number): MemoryOverTime {
  const startedAtMs = performance.now();
  const points: [number, number][] = [];
  let looking: Promise<void> = Promise.resolve();
  const look = async () => {
    const usage = await processUsage(pid).catch(() => undefined); // It has ended.
    if (usage !== undefined) points.push([(performance.now() - startedAtMs) / 1_000, usage.residentMiB]);
  };
  const timer = setInterval(() => {
    looking = look();
  }, EVERY_MS);
  return {
    points,
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await looking;
    },
  };
}
