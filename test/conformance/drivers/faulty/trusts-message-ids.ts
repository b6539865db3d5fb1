import { serveConsumer } from '../consumer.ts';

// Takes the publisher's id for the event's: a replay has another.
await serveConsumer({
  idOf: (message) => message.headers?.get('Nats-Msg-Id') || `${message.info.stream}:${message.seq}`,
});
