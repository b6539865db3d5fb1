import type { StoredEvent } from '../../event.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Pause } from './lane-state.ts';

/** Tells the outside what a lane does: metrics for each event, log lines for what a person wants to know. */
export interface LaneMeter {
  stored(event: StoredEvent): void;
  /** A replay's copy, of an event that was inserted who knows when. */
  copied(): void;
  /** Hands the counts of the hot path to the registry. */
  flush(): void;
  failed(outcome: string): void;
  paused(pause: Pause): void;
  resumed(): void;
  reconciled(result: Compared): void;
}

/** What a comparison of log and stream found, in numbers. */
export interface Compared {
  /** Messages of other writers. */
  readonly foreign: number;
  /** Events that they cost their place in the order. */
  readonly disordered: number;
  /** Acknowledged events that the stream has lost. */
  readonly lost: number;
  /** Events found stored that were not known to be. */
  readonly newlySettled: number;
  /** Messages in our name whose events the database has lost. */
  readonly strays: number;
}

const LOG_EVERY_MS = 1_000;

export function createLaneMeter(context: { stream: string; metrics: Metrics; logger: Logger }): LaneMeter {
  const { stream, metrics, logger } = context;
  let stored = 0;
  let loggedAtMs = Number.NEGATIVE_INFINITY;
  let pausedSince: number | undefined;
  return {
    stored(event) {
      stored++;
      metrics.insertToStored.observe(Math.max(0, Date.now() - event.createdAtMs) / 1_000);
    },
    copied() {
      stored++;
    },
    flush() {
      if (stored > 0) metrics.publishedEvents.inc({ stream }, stored);
      stored = 0;
    },
    failed(outcome) {
      metrics.publishFailures.inc({ outcome });
      if (outcome === 'duplicate') metrics.duplicateAcks.inc();
    },
    paused({ outcome, reason }) {
      pausedSince ??= performance.now();
      if (performance.now() - loggedAtMs < LOG_EVERY_MS) return;
      loggedAtMs = performance.now();
      logger.warn(
        { event: 'lane-paused', stream, outcome, reason },
        `publishing to '${stream}' pauses: ${reason}`,
      );
    },
    resumed() {
      if (pausedSince === undefined) return;
      const seconds = Math.round((performance.now() - pausedSince) / 100) / 10;
      pausedSince = undefined;
      logger.info(
        { event: 'lane-resumed', stream, seconds },
        `publishing to '${stream}' goes on after ${seconds} s`,
      );
    },
    reconciled(result) {
      const { foreign, disordered, lost, newlySettled, strays } = result;
      metrics.publishedEvents.inc({ stream }, newlySettled);
      metrics.healedEvents.inc(lost);
      metrics.foreignMessages.inc({ stream }, foreign);
      metrics.disorderedEvents.inc({ stream }, disordered);
      metrics.reconciliations.inc({ result: lost > 0 ? 'healed' : foreign > 0 ? 'foreign' : 'agreed' });
      if (lost > 0) {
        logger.error(
          { event: 'stream-rewound', stream, lost },
          `stream '${stream}' lost ${lost} acknowledged events; they are published again at their sequences`,
        );
      }
      if (strays > 0) {
        logger.error(
          { event: 'database-behind-stream', stream, strays },
          `stream '${stream}' holds ${strays} events of this outbox that the database knows nothing of: PostgreSQL has lost them (a failover to a standby that was behind, a restore?)`,
        );
      }
      if (foreign > 0) {
        logger.warn(
          { event: 'foreign-messages', stream, foreign, disordered },
          `${foreign} messages of another writer in stream '${stream}' cost ${disordered} events their place in the order; give the stream to the relay alone`,
        );
      }
    },
  };
}
