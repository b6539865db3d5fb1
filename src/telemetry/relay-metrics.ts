import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { createLiveGauge } from './live-gauge.ts';

/** From a fraction of a millisecond to a minute: an idle relay stores within two, an outage takes long. */
const LATENCY_BUCKETS = [0.001, 0.002, 0.003, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60];
/** A look brings up to 1,000 events, beside very many gaps 8,000. */
const PLAN_BUCKETS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_000, 8_000];

const stream = ['stream'] as const;

/** What a relay tells. Labels are names of streams and words that the code knows, never what an event carries. */
export function createRelayMetrics(registers: Registry[]) {
  return {
    ...createRoleMetrics(registers),
    ...createBacklogMetrics(registers),
    ...createPublishMetrics(registers),
    ...createOutboxMetrics(registers),
  };
}

function createRoleMetrics(registers: Registry[]) {
  return {
    isLeader: new Gauge({
      name: 'postcommit_is_leader',
      help: '1 while this relay leads, 0 while it stands by.',
      registers,
    }),
    relayRole: createLiveGauge({
      name: 'postcommit_relay_role',
      help: '1 for the role that this relay has: starting, standby, leader, stopping, stopped.',
      labelNames: ['role'] as const,
      registers,
    }),
    leaseEpoch: new Gauge({
      name: 'postcommit_lease_epoch',
      help: 'The epoch under which this relay leads, or led last; 0 before the first. Each leadership has a higher one.',
      registers,
    }),
    connected: createLiveGauge({
      name: 'postcommit_connected',
      help: '1 while this relay has its connection to the server: postgres, nats.',
      labelNames: ['server'] as const,
      registers,
    }),
    pooled: new Gauge({
      name: 'postcommit_pooled',
      help: '1 while the connection to PostgreSQL goes through a pooler: nobody listens there, and the relay polls.',
      registers,
    }),
    listenUp: new Gauge({
      name: 'postcommit_listen_up',
      help: '1 while the session that LISTENs stands. 0 on a standby, and behind a pooler.',
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
    notificationQueueUsage: new Gauge({
      name: 'postcommit_notification_queue_usage_ratio',
      help: "How full the cluster's queue of notifications is, from 0 to 1. When it is full, commits that notify fail.",
      registers,
    }),
  };
}

function createBacklogMetrics(registers: Registry[]) {
  return {
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
    gapsOpen: new Gauge({
      name: 'postcommit_gaps_open',
      help: 'Ranges of positions drawn by transactions that have not ended yet, or rolled back lately.',
      registers,
    }),
    auditFoundEvents: new Counter({
      name: 'postcommit_audit_found_events_total',
      help: 'Events in no plan, where no reader looked any more, that an audit found. Must stay 0: somebody chose positions.',
      registers,
    }),
    batchEvents: new Histogram({
      name: 'postcommit_batch_events',
      help: 'Events that a look of the relay planned together, for all streams.',
      buckets: PLAN_BUCKETS,
      registers,
    }),
    plannedPending: createLiveGauge({
      name: 'postcommit_planned_pending',
      help: 'Events that are planned for the stream and not known to be stored.',
      labelNames: stream,
      registers,
    }),
    inFlightMessages: createLiveGauge({
      name: 'postcommit_in_flight_messages',
      help: 'Messages sent to the stream and not answered yet.',
      labelNames: stream,
      registers,
    }),
    lanePaused: createLiveGauge({
      name: 'postcommit_lane_paused',
      help: '1 while nothing can be published to the stream; /readyz has the reason.',
      labelNames: stream,
      registers,
    }),
  };
}

function createPublishMetrics(registers: Registry[]) {
  return {
    publishedEvents: new Counter({
      name: 'postcommit_published_events_total',
      help: 'Events known to be stored in the stream.',
      labelNames: stream,
      registers,
    }),
    insertToStored: new Histogram({
      name: 'postcommit_insert_to_stored_seconds',
      help: 'From the insert of the row (database clock) to its acknowledgement (relay clock).',
      buckets: LATENCY_BUCKETS,
      registers,
    }),
    publishFailures: new Counter({
      name: 'postcommit_publish_failures_total',
      help: 'Publishes without a good acknowledgement, by outcome.',
      labelNames: ['outcome'] as const,
      registers,
    }),
    duplicateAcks: new Counter({
      name: 'postcommit_duplicate_acks_total',
      help: 'Publishes the broker called duplicates; each is verified by reading the stream back.',
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
      labelNames: stream,
      registers,
    }),
    disorderedEvents: new Counter({
      name: 'postcommit_disordered_events_total',
      help: 'Events that a foreign message displaced from their place in the order.',
      labelNames: stream,
      registers,
    }),
    deadLetters: new Gauge({
      name: 'postcommit_dead_letters',
      help: 'Dead letters that await a decision.',
      registers,
    }),
  };
}

function createOutboxMetrics(registers: Registry[]) {
  return {
    outboxBytes: new Gauge({
      name: 'postcommit_outbox_bytes',
      help: 'Size of the outbox on disk, all segments with their indexes.',
      registers,
    }),
    segmentBytes: new Gauge({
      name: 'postcommit_segment_bytes',
      help: 'Size of each of the eight segments of the outbox, without its indexes, as the ring measures it.',
      labelNames: ['segment'] as const,
      registers,
    }),
    segmentsInUse: new Gauge({
      name: 'postcommit_segments_in_use',
      help: 'Segments of the outbox that hold rows. With all eight the one that is written to grows.',
      registers,
    }),
    segmentsOverdue: new Gauge({
      name: 'postcommit_segments_overdue',
      help: 'Segments past the retention that still hold rows.',
      registers,
    }),
    batchLogBytes: new Gauge({
      name: 'postcommit_batch_log_bytes',
      help: 'Size of the batch log on disk, with its indexes.',
      registers,
    }),
  };
}
