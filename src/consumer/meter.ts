import type { Metrics } from '../telemetry/metrics.ts';
import type { Role } from './lead/campaign.ts';

/** The result a message is counted under. */
export type JobResult = 'effect' | 'duplicate' | 'failed' | 'skipped' | 'dead';

/** What a consumer has left to do, and what it keeps. */
export interface Backlog {
  readonly pending: number;
  readonly ackPending: number;
}

export interface Kept {
  readonly inboxRows: number;
  readonly deadLetters: number;
}

/** Tells the outside what a consumer does; without metrics it tells nobody. */
export interface ConsumerMeter {
  readonly isOn: boolean;
  /** `storedAt`: of an event that has just had its effect. */
  settled(result: JobResult, storedAt?: Date): void;
  handled(seconds: number): void;
  /** By so many more, or fewer. */
  slowHandlers(change: 1 | -1): void;
  role(role: Role): void;
  backlog(backlog: Backlog): void;
  kept(kept: Kept): void;
  /** The consumer has stopped: what was measured now and then is forgotten, what was counted stays. */
  end(): void;
}

const RESULTS: readonly JobResult[] = ['effect', 'duplicate', 'failed', 'skipped', 'dead'];

export function createConsumerMeter(metrics: Metrics | undefined, consumer: string): ConsumerMeter {
  if (metrics === undefined) return SILENT;
  // What is known beforehand begins at 0, and its child is kept: messages come by the thousand.
  const counts = new Map(
    RESULTS.map((result) => [result, metrics.consumedEvents.labels({ consumer, result })]),
  );
  for (const count of counts.values()) count.inc(0);
  const storedToEffect = metrics.storedToEffect.labels({ consumer });
  const handlerSeconds = metrics.handlerSeconds.labels({ consumer });
  const slowHandlers = metrics.slowHandlers.labels({ consumer });
  const active = metrics.activeConsumers.labels({ consumer });
  slowHandlers.inc(0);
  active.inc(0);
  let isActive = false;
  const meter: ConsumerMeter = {
    isOn: true,
    settled(result, storedAt) {
      counts.get(result)?.inc();
      if (storedAt !== undefined)
        storedToEffect.observe(Math.max(0, Date.now() - storedAt.getTime()) / 1_000);
    },
    handled: (seconds) => handlerSeconds.observe(seconds),
    slowHandlers: (change) => slowHandlers.inc(change),
    // By difference: several instances of a consumer in one process share the gauge.
    role(role) {
      const will = role === 'active';
      if (will !== isActive) active.inc(will ? 1 : -1);
      isActive = will;
    },
    backlog({ pending, ackPending }) {
      metrics.consumerPending.set({ consumer }, pending);
      metrics.consumerAckPending.set({ consumer }, ackPending);
    },
    kept({ inboxRows, deadLetters }) {
      metrics.inboxRows.set({ consumer }, inboxRows);
      metrics.consumerDeadLetters.set({ consumer }, deadLetters);
    },
    end() {
      meter.role('standby');
      const { consumerPending, consumerAckPending, inboxRows, consumerDeadLetters } = metrics;
      for (const gauge of [consumerPending, consumerAckPending, inboxRows, consumerDeadLetters])
        gauge.remove({ consumer });
    },
  };
  return meter;
}

const nothing = () => undefined;

const SILENT: ConsumerMeter = {
  isOn: false,
  settled: nothing,
  handled: nothing,
  slowHandlers: nothing,
  role: nothing,
  backlog: nothing,
  kept: nothing,
  end: nothing,
};
