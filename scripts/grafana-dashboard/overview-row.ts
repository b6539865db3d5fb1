import { AGE_STEPS, type Row, stat } from './panels.ts';
import { ofConsumer, ofLane, ofRelay, quantile, rate } from './queries.ts';

/** Anything above nothing is worth a look. */
const SHOULD_BE_NONE = [
  [null, 'green'],
  [1, 'red'],
] as const;

export const overview: Row = {
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
      steps: AGE_STEPS,
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
