import type { Failure } from '../jetstream/index.ts';
import { SEGMENTS } from '../outbox/live-segments.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { RelayRole, RelayStatus } from './relay.ts';

const ROLES: readonly RelayRole[] = ['starting', 'standby', 'leader', 'stopping', 'stopped'];
/** What may come instead of `stored`; `misrouted` is no answer of a broker. */
const FAILURES: readonly Failure['kind'][] = [
  'duplicate',
  'ambiguous',
  'unavailable',
  'saturated',
  'refused',
];

/**
 * Answers scrapes from the relay's state in memory, and lets the counters of all that is known beforehand begin at 0: the
 * first increase of a series that was not there is none. Returns what ends it.
 */
export function showRelay(
  metrics: Metrics,
  { streams, status }: { readonly streams: readonly string[]; readonly status: () => RelayStatus },
): () => void {
  beginAtZero(metrics, streams);
  forgetLeadership(metrics);
  const { relayRole, connected, lanePaused, plannedPending, inFlightMessages } = metrics;
  const stops = [
    relayRole.follow((gauge) => {
      for (const role of ROLES) gauge.set({ role }, role === status().role ? 1 : 0);
    }),
    connected.follow((gauge) => {
      const { databaseConnected, brokerConnected } = status();
      gauge.set({ server: 'postgres' }, databaseConnected ? 1 : 0);
      gauge.set({ server: 'nats' }, brokerConnected ? 1 : 0);
    }),
    lanePaused.follow((gauge) => {
      for (const { stream, state } of status().lanes) gauge.set({ stream }, state === 'paused' ? 1 : 0);
    }),
    plannedPending.follow((gauge) => {
      for (const { stream, pending } of status().lanes) gauge.set({ stream }, pending);
    }),
    inFlightMessages.follow((gauge) => {
      for (const { stream, inFlight } of status().lanes) gauge.set({ stream }, inFlight);
    }),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

function beginAtZero(metrics: Metrics, streams: readonly string[]): void {
  for (const stream of streams) {
    metrics.publishedEvents.inc({ stream }, 0);
    metrics.foreignMessages.inc({ stream }, 0);
    metrics.disorderedEvents.inc({ stream }, 0);
  }
  for (const outcome of FAILURES) metrics.publishFailures.inc({ outcome }, 0);
  for (const source of ['notify', 'poll', 'sweep']) metrics.wakeups.inc({ source }, 0);
  for (const result of ['agreed', 'healed', 'foreign']) metrics.reconciliations.inc({ result }, 0);
}

/** What only a leader measures: left standing, it would be taken for the leader's of today in a maximum over all relays. */
export function forgetLeadership(metrics: Metrics): void {
  metrics.pendingEvents.set(0);
  metrics.oldestPendingAge.set(0);
  metrics.gapsOpen.set(0);
  metrics.deadLetters.set(0);
  metrics.listenUp.set(0);
  metrics.notificationQueueUsage.set(0);
  metrics.outboxBytes.set(0);
  metrics.batchLogBytes.set(0);
  metrics.segmentsInUse.set(0);
  metrics.segmentsOverdue.set(0);
  for (const segment of SEGMENTS) metrics.segmentBytes.set({ segment }, 0);
}
