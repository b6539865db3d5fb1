import type { Logger } from '../telemetry/logger.ts';

/** Warnings about what lasts, each kind at most once a second: an outage must not fill a disk. */
export interface TroubleLog {
  warn(event: string, reason: string, text: string): void;
}

const INTERVAL_MS = 1_000;

export function createTroubleLog(logger: Logger, consumer: string): TroubleLog {
  const last = new Map<string, number>();
  return {
    warn(event, reason, text) {
      const now = performance.now();
      if (now - (last.get(event) ?? Number.NEGATIVE_INFINITY) < INTERVAL_MS) return;
      last.set(event, now);
      logger.warn({ event, consumer, reason }, text);
    },
  };
}
