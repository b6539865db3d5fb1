import { AGE_STEPS, graph, heatmap, type Row, states } from './panels.ts';
import { increase, ofLane, ofRelay, quantile, rate } from './queries.ts';

const YES_NO = { '1': ['yes', 'green'], '0': ['no', 'red'] } as const;

export const relay: Row = {
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

export const lanes: Row = {
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

export const outbox: Row = {
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
      steps: AGE_STEPS,
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
