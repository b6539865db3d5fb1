import { graph, type Row } from './panels.ts';
import { ofConsumer, quantile, rate } from './queries.ts';

export const consumers: Row = {
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
