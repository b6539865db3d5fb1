import { graph, heatmap, type Made, stat, states } from './panels.ts';
import { increase, ofConsumer, ofLane, ofRelay, quantile, rate } from './queries.ts';

export interface Row {
  readonly title: string;
  readonly panels: readonly Made[];
}

const YES_NO = { '1': ['yes', 'green'], '0': ['no', 'red'] } as const;
/** Anything above nothing is worth a look. */
const SHOULD_BE_NONE = [
  [null, 'green'],
  [1, 'red'],
] as const;
const AGE = [
  [null, 'green'],
  [60, 'yellow'],
  [300, 'red'],
] as const;

const overview: Row = {
  title: 'Overview',
  panels: [
    stat({
      title: 'Leaders',
      width: 3,
      unit: 'short',
      queries: { '{{job}}': `sum by (job) (${ofRelay('postcommit_relay_role', 'role="leader"')})` },
      about: 'One for each outbox.',
      steps: [
        [null, 'red'],
        [1, 'green'],
        [2, 'red'],
      ],
    }),
    stat({
      title: 'Standbys',
      width: 3,
      unit: 'short',
      queries: { '{{job}}': `sum by (job) (${ofRelay('postcommit_relay_role', 'role="standby"')})` },
      about: 'Relays that would take over.',
      steps: [
        [null, 'yellow'],
        [1, 'green'],
      ],
    }),
    stat({
      title: 'Oldest waiting event',
      width: 3,
      unit: 's',
      queries: { '{{job}}': `max by (job) (${ofRelay('postcommit_oldest_pending_age_seconds')})` },
      steps: AGE,
    }),
    stat({
      title: 'Waiting events',
      width: 3,
      unit: 'short',
      queries: { '{{job}}': `max by (job) (${ofRelay('postcommit_pending_events')})` },
    }),
    stat({
      title: 'Published',
      width: 3,
      unit: 'eps',
      queries: { events: `sum(${rate(ofLane('postcommit_published_events_total'))})` },
    }),
    stat({
      title: 'Insert to stored, p99',
      width: 3,
      unit: 's',
      queries: { p99: quantile(0.99, ofRelay('postcommit_insert_to_stored_seconds_bucket')) },
    }),
    stat({
      title: 'Lanes paused',
      width: 3,
      unit: 'short',
      queries: { lanes: `sum(${ofLane('postcommit_lane_paused')})` },
      steps: SHOULD_BE_NONE,
    }),
    stat({
      title: 'Dead letters',
      width: 3,
      unit: 'short',
      queries: { '{{job}}': `max by (job) (${ofRelay('postcommit_dead_letters')})` },
      steps: [
        [null, 'green'],
        [1, 'yellow'],
      ],
    }),
    stat({
      title: 'Waiting for consumers',
      width: 3,
      unit: 'short',
      queries: {
        messages: `sum(max by (job, consumer) (${ofConsumer('postcommit_consumer_pending_messages')}))`,
      },
    }),
    stat({
      title: 'Stored to effect, p99',
      width: 3,
      unit: 's',
      queries: { p99: quantile(0.99, ofConsumer('postcommit_stored_to_effect_seconds_bucket')) },
    }),
    stat({
      title: 'Consumers that do not work',
      width: 3,
      unit: 'short',
      queries: {
        consumers: `count(max by (job, consumer) (${ofConsumer('postcommit_consumer_is_active')}) == 0) or vector(0)`,
      },
      about: 'Those of which no instance is active.',
      steps: SHOULD_BE_NONE,
    }),
    stat({
      title: 'Outbox',
      width: 3,
      unit: 'bytes',
      queries: { '{{job}}': `max by (job) (${ofRelay('postcommit_outbox_bytes')})` },
    }),
    stat({
      title: 'Versions',
      width: 12,
      unit: 'short',
      named: true,
      queries: { '{{version}}, Node {{node}}': 'count by (version, node) (postcommit_build_info)' },
      about: 'How many processes run which version.',
    }),
  ],
};

const relay: Row = {
  title: 'Relay',
  panels: [
    states({
      title: 'Who leads',
      width: 12,
      queries: { '{{instance}}': ofRelay('postcommit_is_leader') },
      words: { '1': ['leads', 'green'], '0': ['does not', 'light-blue'] },
    }),
    states({
      title: 'Connections',
      width: 12,
      queries: {
        '{{instance}} {{server}}': ofRelay('postcommit_connected'),
        '{{instance}} LISTEN': `${ofRelay('postcommit_listen_up')} and ${ofRelay('postcommit_is_leader')} == 1`,
        '{{instance}} behind a pooler': `${ofRelay('postcommit_pooled')} == 1`,
      },
      about: "LISTEN is the leader's, and always down behind a pooler.",
      words: YES_NO,
    }),
    graph({
      title: 'Roles',
      width: 8,
      unit: 'short',
      queries: { '{{role}}': `sum by (role) (${ofRelay('postcommit_relay_role')})` },
      stacked: true,
    }),
    graph({
      title: 'Epoch of the lease',
      width: 8,
      unit: 'short',
      queries: { '{{instance}}': ofRelay('postcommit_lease_epoch') },
    }),
    graph({
      title: 'Events planned together',
      width: 8,
      unit: 'short',
      queries: {
        p50: quantile(0.5, ofRelay('postcommit_batch_events_bucket')),
        p99: quantile(0.99, ofRelay('postcommit_batch_events_bucket')),
        mean: `sum(${rate(ofRelay('postcommit_batch_events_sum'))}) / sum(${rate(ofRelay('postcommit_batch_events_count'))})`,
      },
    }),
    graph({
      title: 'What made it look',
      width: 8,
      unit: 'cps',
      queries: { '{{source}}': `sum by (source) (${rate(ofRelay('postcommit_wakeups_total'))})` },
    }),
    graph({
      title: 'Found late',
      width: 8,
      unit: 'short',
      queries: {
        'by the sweep': `sum(${increase(ofRelay('postcommit_sweep_found_events_total'))})`,
        'by an audit': `sum(${increase(ofRelay('postcommit_audit_found_events_total'))})`,
      },
      about:
        'Must stay 0. The sweep finds what no notification told of, an audit what no reader looked for any more.',
    }),
    graph({
      title: 'Queue of notifications',
      width: 8,
      unit: 'percentunit',
      queries: { '{{job}}': `max by (job) (${ofRelay('postcommit_notification_queue_usage_ratio')})` },
      steps: [
        [null, 'green'],
        [0.25, 'yellow'],
        [0.5, 'red'],
      ],
    }),
  ],
};

const lanes: Row = {
  title: 'Streams and lanes',
  panels: [
    graph({
      title: 'Published',
      width: 12,
      unit: 'eps',
      queries: { '{{stream}}': `sum by (stream) (${rate(ofLane('postcommit_published_events_total'))})` },
      stacked: true,
    }),
    graph({
      title: 'Insert to stored',
      width: 12,
      unit: 's',
      queries: {
        p50: quantile(0.5, ofRelay('postcommit_insert_to_stored_seconds_bucket')),
        p95: quantile(0.95, ofRelay('postcommit_insert_to_stored_seconds_bucket')),
        p99: quantile(0.99, ofRelay('postcommit_insert_to_stored_seconds_bucket')),
      },
    }),
    states({
      title: 'Lanes',
      width: 12,
      queries: { '{{stream}}': `max by (stream) (${ofLane('postcommit_lane_paused')})` },
      words: { '0': ['publishes', 'green'], '1': ['paused', 'red'] },
    }),
    heatmap({
      title: 'Insert to stored, all of them',
      width: 12,
      unit: 's',
      queries: {
        '{{le}}': `sum by (le) (${increase(ofRelay('postcommit_insert_to_stored_seconds_bucket'))})`,
      },
    }),
    graph({
      title: 'Planned and not stored',
      width: 8,
      unit: 'short',
      queries: { '{{stream}}': `max by (stream) (${ofLane('postcommit_planned_pending')})` },
    }),
    graph({
      title: 'In flight',
      width: 8,
      unit: 'short',
      queries: { '{{stream}}': `max by (stream) (${ofLane('postcommit_in_flight_messages')})` },
      about: 'Sent and not answered. At 1,024 it is the stream that is slow.',
    }),
    graph({
      title: 'No good answer',
      width: 8,
      unit: 'mps',
      queries: {
        '{{outcome}}': `sum by (outcome) (${rate(ofRelay('postcommit_publish_failures_total'))})`,
        'called a duplicate': `sum(${rate(ofRelay('postcommit_duplicate_acks_total'))})`,
      },
    }),
    graph({
      title: 'Comparisons of log and stream',
      width: 8,
      unit: 'short',
      queries: { '{{result}}': `sum by (result) (${increase(ofRelay('postcommit_reconciliations_total'))})` },
    }),
    graph({
      title: 'Lost by the stream, and published again',
      width: 8,
      unit: 'short',
      queries: { '{{job}}': `sum by (job) (${increase(ofRelay('postcommit_healed_events_total'))})` },
    }),
    graph({
      title: 'Other writers',
      width: 8,
      unit: 'short',
      queries: {
        'messages in {{stream}}': `sum by (stream) (${increase(ofLane('postcommit_foreign_messages_total'))})`,
        'events of {{stream}} out of order': `sum by (stream) (${increase(ofLane('postcommit_disordered_events_total'))})`,
      },
      about: 'In `stream` ordering the relay has to be the only writer.',
    }),
  ],
};

const outbox: Row = {
  title: 'Outbox',
  panels: [
    graph({
      title: 'Waiting events',
      width: 8,
      unit: 'short',
      queries: { '{{job}}': `max by (job) (${ofRelay('postcommit_pending_events')})` },
    }),
    graph({
      title: 'Age of the oldest',
      width: 8,
      unit: 's',
      queries: { '{{job}}': `max by (job) (${ofRelay('postcommit_oldest_pending_age_seconds')})` },
      steps: AGE,
    }),
    graph({
      title: 'Gaps',
      width: 8,
      unit: 'short',
      queries: { '{{job}}': `max by (job) (${ofRelay('postcommit_gaps_open')})` },
    }),
    graph({
      title: 'On disk',
      width: 8,
      unit: 'bytes',
      queries: {
        'outbox of {{job}}': `max by (job) (${ofRelay('postcommit_outbox_bytes')})`,
        'batch log of {{job}}': `max by (job) (${ofRelay('postcommit_batch_log_bytes')})`,
      },
    }),
    graph({
      title: 'Segments',
      width: 8,
      unit: 'bytes',
      queries: { '{{segment}}': `max by (segment) (${ofRelay('postcommit_segment_bytes')})` },
      stacked: true,
    }),
    graph({
      title: 'Ring',
      width: 8,
      unit: 'short',
      max: 8,
      queries: {
        'in use': `max(${ofRelay('postcommit_segments_in_use')})`,
        overdue: `max(${ofRelay('postcommit_segments_overdue')})`,
      },
    }),
  ],
};

const consumers: Row = {
  title: 'Consumers',
  panels: [
    graph({
      title: 'Settled',
      width: 12,
      unit: 'mps',
      queries: {
        '{{consumer}} {{result}}': `sum by (consumer, result) (${rate(ofConsumer('postcommit_consumed_events_total'))})`,
      },
    }),
    graph({
      title: 'Stored to effect',
      width: 12,
      unit: 's',
      queries: {
        '{{consumer}} p50': quantile(0.5, ofConsumer('postcommit_stored_to_effect_seconds_bucket'), [
          'consumer',
        ]),
        '{{consumer}} p99': quantile(0.99, ofConsumer('postcommit_stored_to_effect_seconds_bucket'), [
          'consumer',
        ]),
      },
    }),
    graph({
      title: 'Waiting in the stream',
      width: 8,
      unit: 'short',
      queries: {
        '{{consumer}}': `max by (consumer) (${ofConsumer('postcommit_consumer_pending_messages')})`,
      },
    }),
    graph({
      title: 'Delivered and not acknowledged',
      width: 8,
      unit: 'short',
      queries: { '{{consumer}}': `max by (consumer) (${ofConsumer('postcommit_consumer_ack_pending')})` },
    }),
    graph({
      title: 'Time of a handler',
      width: 8,
      unit: 's',
      queries: {
        '{{consumer}} p50': quantile(0.5, ofConsumer('postcommit_consumer_handler_seconds_bucket'), [
          'consumer',
        ]),
        '{{consumer}} p99': quantile(0.99, ofConsumer('postcommit_consumer_handler_seconds_bucket'), [
          'consumer',
        ]),
      },
    }),
    graph({
      title: 'Instances that work',
      width: 6,
      unit: 'short',
      queries: { '{{consumer}}': `sum by (consumer) (${ofConsumer('postcommit_consumer_is_active')})` },
    }),
    graph({
      title: 'Slow handlers',
      width: 6,
      unit: 'short',
      queries: { '{{consumer}}': `sum by (consumer) (${ofConsumer('postcommit_consumer_slow_handlers')})` },
    }),
    graph({
      title: 'Dead letters',
      width: 6,
      unit: 'short',
      queries: { '{{consumer}}': `max by (consumer) (${ofConsumer('postcommit_consumer_dead_letters')})` },
    }),
    graph({
      title: 'Inbox',
      width: 6,
      unit: 'short',
      queries: { '{{consumer}}': `max by (consumer) (${ofConsumer('postcommit_inbox_rows')})` },
    }),
  ],
};

const processes: Row = {
  title: 'Process of the relays',
  panels: [
    graph({
      title: 'CPU',
      width: 8,
      unit: 'percentunit',
      queries: { '{{instance}}': rate(ofRelay('process_cpu_seconds_total')) },
      about: 'Of one core, which is all that the relay can use.',
    }),
    graph({
      title: 'Memory',
      width: 8,
      unit: 'bytes',
      queries: {
        '{{instance}}': ofRelay('process_resident_memory_bytes'),
        '{{instance}} heap': ofRelay('nodejs_heap_size_used_bytes'),
      },
    }),
    graph({
      title: 'Lag of the event loop',
      width: 8,
      unit: 's',
      queries: { '{{instance}}': ofRelay('nodejs_eventloop_lag_seconds') },
      about: 'Measured at each scrape.',
    }),
    graph({
      title: 'Garbage collection',
      width: 8,
      unit: 'percentunit',
      queries: {
        '{{instance}} {{kind}}': `sum by (instance, kind) (${rate(ofRelay('nodejs_gc_duration_seconds_sum'))})`,
      },
      about: 'Share of the time.',
    }),
    graph({
      title: 'Open files and sockets',
      width: 8,
      unit: 'short',
      queries: { '{{instance}}': ofRelay('process_open_fds') },
    }),
    graph({
      title: 'Runs since',
      width: 8,
      unit: 'dtdurations',
      queries: { '{{instance}}': `time() - ${ofRelay('process_start_time_seconds')}` },
      about: 'Time since the process was started.',
    }),
  ],
};

export const ROWS: readonly Row[] = [overview, relay, lanes, outbox, consumers, processes];
