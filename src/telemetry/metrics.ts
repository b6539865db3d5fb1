import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** From a fraction of a millisecond to a minute: an idle relay stores within two, an outage takes long. */
const LATENCY_BUCKETS = [0.001, 0.002, 0.003, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60];

/**
 * Every metric postcommit exposes, by the names other programs rely on. They live in a registry of their own,
 * never prom-client's global one, unless the caller hands one in.
 */
export type Metrics = ReturnType<typeof createMetrics>;

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: a flat list of definitions, read top to bottom.
export function createMetrics(registry: Registry = new Registry()) {
  const registers = [registry];
  return {
    registry,
    publishedEvents: new Counter({
      name: 'postcommit_published_events_total',
      help: 'Events known to be stored in the stream.',
      labelNames: ['stream'] as const,
      registers,
    }),
    duplicateAcks: new Counter({
      name: 'postcommit_duplicate_acks_total',
      help: 'Publishes the broker called duplicates; each is verified by reading the stream back.',
      registers,
    }),
    publishFailures: new Counter({
      name: 'postcommit_publish_failures_total',
      help: 'Publishes without a good acknowledgement, by outcome.',
      labelNames: ['outcome'] as const,
      registers,
    }),
    pendingEvents: new Gauge({
      name: 'postcommit_pending_events',
      help: 'Positions drawn in the outbox and not yet stored; rolled-back ones count until they are read past.',
      registers,
    }),
    oldestPendingAge: new Gauge({
      name: 'postcommit_oldest_pending_age_seconds',
      help: 'Age of the oldest visible event that is not yet stored; 0 when there is none.',
      registers,
    }),
    insertToStored: new Histogram({
      name: 'postcommit_insert_to_stored_seconds',
      help: 'From the insert of the row (database clock) to its acknowledgement (relay clock).',
      buckets: LATENCY_BUCKETS,
      registers,
    }),
    deadLetters: new Gauge({
      name: 'postcommit_dead_letters',
      help: 'Dead letters that await a decision.',
      registers,
    }),
    isLeader: new Gauge({
      name: 'postcommit_is_leader',
      help: '1 while this relay leads, 0 while it stands by.',
      registers,
    }),
    wakeups: new Counter({
      name: 'postcommit_wakeups_total',
      help: 'What made the relay read: a notification, its own polling, or the sweep of a parked relay.',
      labelNames: ['source'] as const,
      registers,
    }),
    sweepFoundEvents: new Counter({
      name: 'postcommit_sweep_found_events_total',
      help: 'Events that only the sweep found. Must stay 0: anything else is a lost wake-up.',
      registers,
    }),
    auditFoundEvents: new Counter({
      name: 'postcommit_audit_found_events_total',
      help: 'Events in no plan, where no reader looked any more, that an audit found. Must stay 0: somebody chose positions.',
      registers,
    }),
    reconciliations: new Counter({
      name: 'postcommit_reconciliations_total',
      help: 'Times the relay compared its batch log with the stream, by what it found.',
      labelNames: ['result'] as const,
      registers,
    }),
    healedEvents: new Counter({
      name: 'postcommit_healed_events_total',
      help: 'Acknowledged events that the broker had lost and the relay published again.',
      registers,
    }),
    foreignMessages: new Counter({
      name: 'postcommit_foreign_messages_total',
      help: 'Messages of other writers found in a stream that is in `stream` ordering.',
      labelNames: ['stream'] as const,
      registers,
    }),
    disorderedEvents: new Counter({
      name: 'postcommit_disordered_events_total',
      help: 'Events that a foreign message displaced from their place in the order.',
      labelNames: ['stream'] as const,
      registers,
    }),
    gapsOpen: new Gauge({
      name: 'postcommit_gaps_open',
      help: 'Ranges of positions drawn by transactions that have not ended yet, or rolled back lately.',
      registers,
    }),
    handlerSeconds: new Histogram({
      name: 'postcommit_consumer_handler_seconds',
      help: 'Time a handler of a consumer took, for one event or a batch.',
      labelNames: ['consumer'] as const,
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
      registers,
    }),
    slowHandlers: new Gauge({
      name: 'postcommit_consumer_slow_handlers',
      help: 'Handlers of a consumer that have been running for more than 30 s.',
      labelNames: ['consumer'] as const,
      registers,
    }),
    consumedEvents: new Counter({
      name: 'postcommit_consumed_events_total',
      help: 'Messages a consumer settled, by result: effect, duplicate, failed, skipped, dead.',
      labelNames: ['consumer', 'result'] as const,
      registers,
    }),
  };
}
