import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

const consumer = ['consumer'] as const;

/** What consumers tell. Labels are names of durables and of results, never what a message carries. */
export function createConsumerMetrics(registers: Registry[]) {
  return {
    consumedEvents: new Counter({
      name: 'postcommit_consumed_events_total',
      help: 'Messages a consumer settled, by result: effect, duplicate, failed, skipped, dead.',
      labelNames: ['consumer', 'result'] as const,
      registers,
    }),
    storedToEffect: new Histogram({
      name: 'postcommit_stored_to_effect_seconds',
      help: "From an event's storing (clock of JetStream) to the commit of its effect (clock of the consumer).",
      labelNames: consumer,
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300],
      registers,
    }),
    handlerSeconds: new Histogram({
      name: 'postcommit_consumer_handler_seconds',
      help: 'Time a handler of a consumer took, for one event or a batch.',
      labelNames: consumer,
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
      registers,
    }),
    slowHandlers: new Gauge({
      name: 'postcommit_consumer_slow_handlers',
      help: 'Handlers of a consumer that have been running for more than 30 s.',
      labelNames: consumer,
      registers,
    }),
    activeConsumers: new Gauge({
      name: 'postcommit_consumer_is_active',
      help: '1 while this instance of a consumer works, 0 while it stands by; the sum, where a process has several.',
      labelNames: consumer,
      registers,
    }),
    consumerPending: new Gauge({
      name: 'postcommit_consumer_pending_messages',
      help: 'Messages of the stream that were not delivered to the durable yet; asked every 10 s.',
      labelNames: consumer,
      registers,
    }),
    consumerAckPending: new Gauge({
      name: 'postcommit_consumer_ack_pending',
      help: 'Messages that were delivered and not acknowledged; asked every 10 s.',
      labelNames: consumer,
      registers,
    }),
    consumerDeadLetters: new Gauge({
      name: 'postcommit_consumer_dead_letters',
      help: 'Dead letters of a consumer that await a decision, counted up to 10,000; asked every minute.',
      labelNames: consumer,
      registers,
    }),
    inboxRows: new Gauge({
      name: 'postcommit_inbox_rows',
      help: "Rows of a consumer in the inbox: counted up to 10,000, the planner's estimate beyond; asked every minute.",
      labelNames: consumer,
      registers,
    }),
  };
}
