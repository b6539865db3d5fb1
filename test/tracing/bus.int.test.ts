import { SpanStatusCode } from '@opentelemetry/api';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { type CoreMessage, openBus } from '../../src/messaging/index.ts';
import { natsUrl, scratchName } from '../support/services.ts';
import { outside, REMOTE, type Recorder, startRecorder, summaryOf, traceparentOf } from './recorder.ts';

let recorder: Recorder;
beforeEach(() => {
  recorder = startRecorder();
});
afterEach(() => recorder.stop());

async function scene() {
  const bus = await openBus({ nats: natsUrl() });
  onTestFinished(() => bus.close());
  return { bus, name: scratchName('bus') };
}

test('what is published or stored carries the context of the active span, and a subscriber runs in its trace', async () => {
  const { bus, name } = await scene();
  await bus.ensureStream({ name, subjects: [`${name}.stored`] });
  onTestFinished(async () => {
    const { jetstreamManager } = await import('@nats-io/jetstream');
    const { connect } = await import('@nats-io/transport-node');
    const connection = await connect({ servers: natsUrl() });
    await (await jetstreamManager(connection)).streams.delete(name);
    await connection.close();
  });
  const messages: CoreMessage[] = [];
  bus.subscribe(`${name}.*`, async (message) => {
    messages.push(message);
    await recorder.within('inner', async () => undefined);
    if (message.subject.endsWith('bad')) throw new Error('no');
  });
  const sender = await recorder.within('request', async (span) => {
    bus.publish({ subject: `${name}.core`, payload: {}, headers: { a: 'b' } });
    await bus.store({ subject: `${name}.stored`, payload: {} });
    bus.publish({ subject: `${name}.bad`, payload: {}, headers: { traceparent: REMOTE.traceparent } });
    return span.spanContext();
  });
  const [core, stored, bad] = await recorder.ended('process', 3);
  const traceparent = traceparentOf(sender);
  expect(messages.map(({ headers }) => headers)).toEqual([
    { a: 'b', traceparent },
    { traceparent },
    { traceparent: REMOTE.traceparent },
  ]);
  expect(core && summaryOf(core)).toEqual({
    name: `process ${name}.*`,
    kind: 'CONSUMER',
    attributes: {
      'messaging.system': 'nats',
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'messaging.destination.name': `${name}.core`,
      'messaging.destination.template': `${name}.*`,
    },
    parent: sender.spanId,
    links: [sender.spanId],
    status: { code: SpanStatusCode.UNSET },
  });
  expect(stored?.parentSpanContext?.spanId).toBe(sender.spanId);
  expect(bad && summaryOf(bad)).toMatchObject({
    parent: REMOTE.spanId,
    status: { code: SpanStatusCode.ERROR, message: 'no' },
  });
  const [inner] = recorder.spans('inner');
  expect(inner?.parentSpanContext?.spanId).toBe(core?.spanContext().spanId);
});

test('outside a span nothing is added', async () => {
  const { bus, name } = await scene();
  const messages: CoreMessage[] = [];
  bus.subscribe(name, (message) => void messages.push(message));
  await outside(async () => bus.publish({ subject: name, payload: {} }));
  await expect.poll(() => messages.map(({ headers }) => headers)).toEqual([{}]);
});
