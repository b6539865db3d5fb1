import { once } from 'node:events';
import { jetstreamManager } from '@nats-io/jetstream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectBroker, headerBlock } from '../../src/jetstream/index.ts';
import { createOrdinarySender, createSender } from '../../src/jetstream/wire.ts';
import { silentLogger } from '../../src/telemetry/logger.ts';
import { startNats } from '../support/services.ts';
import {
  createRecordingPublisher,
  openScratchStream,
  publishEvent,
  type ScratchStream,
  storedEvent,
} from './fixture.ts';

const forever = new AbortController().signal;
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

let stream: ScratchStream;
beforeEach(async () => {
  stream = await openScratchStream();
});
afterEach(() => stream[Symbol.asyncDispose]());

describe('the sequence chain', () => {
  test('stores pipelined messages at exactly the planned sequences', async () => {
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
    for (const n of range(0, 499))
      publishEvent(recorder.publisher, stream, n, { expected: n, messageId: `m${n}` });
    expect(recorder.settled).toHaveLength(0);
    await recorder.until(500);
    expect(recorder.settled).toEqual(range(0, 499).map((n) => [n, n + 1]));
    expect(await stream.state()).toMatchObject({ firstSequence: 1, lastSequence: 500 });
  });

  test('refuses everything behind a hole', async () => {
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
    for (const n of range(0, 99)) if (n !== 40) publishEvent(recorder.publisher, stream, n, { expected: n });
    await recorder.until(99);
    expect(recorder.kinds()).toEqual([...Array(40).fill('stored'), ...Array(59).fill('ambiguous')]);
    expect(recorder.settled[40]?.[1]).toMatchObject({
      reason: expect.stringContaining('wrong last sequence: 40'),
    });
    expect((await stream.state()).lastSequence).toBe(40);
  });

  test('lets nothing of a second writer into a planned slot unnoticed', async () => {
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
    publishEvent(recorder.publisher, stream, 0, { expected: 0 });
    publishEvent(recorder.publisher, stream, 100);
    publishEvent(recorder.publisher, stream, 1, { expected: 1 });
    publishEvent(recorder.publisher, stream, 2, { expected: 2 });
    await recorder.until(4);
    expect(recorder.kinds()).toEqual(['stored', 'stored', 'ambiguous', 'stored']);
  });
});

test('a repeated message id is a duplicate, at the sequence of the first', async () => {
  using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
  publishEvent(recorder.publisher, stream, 1, { messageId: 'same' });
  publishEvent(recorder.publisher, stream, 2, { messageId: 'same' });
  await recorder.until(2);
  expect(recorder.settled).toEqual([
    [1, 1],
    [2, { kind: 'duplicate', sequence: 1 }],
  ]);
});

test('what goes out is stored byte for byte, by either way into the client', async () => {
  const manager = await jetstreamManager(stream.link.connection);
  const senders = [createSender(stream.link.connection), createOrdinarySender(stream.link.connection)];
  const event = storedEvent(1, {
    key: 'schlüssel: ß 漢',
    headers: { a: 'b: c' },
    payload: Buffer.from([0, 13, 10, 255]),
  });
  const headers = headerBlock(event, {
    stream: stream.name,
    source: 's',
    messageId: null,
    expectedLastSequence: null,
  });
  for (const [index, send] of senders.entries()) {
    const reply = `reply.${stream.name}`;
    const answered = new Promise((resolve) =>
      stream.link.connection.subscribe(reply, {
        max: 1,
        callback: (_error, message) => resolve(message.string()),
      }),
    );
    send({ subject: stream.subject, reply, headers, payload: event.payload });
    await answered;
    const message = await manager.streams.getMessage(stream.name, { seq: index + 1 });
    expect(message?.header.get('Postcommit-Key')).toBe('schlüssel: ß 漢');
    expect(message?.header.get('a')).toBe('b: c');
    expect(message?.data).toEqual(new Uint8Array(event.payload));
    for (const subject of ['', 'a b', 'a\r\nPUB b 0'])
      expect(() => send({ subject, reply, headers, payload: event.payload })).toThrow('subject');
  }
});

test('abandoned messages are never heard of again, and the publisher goes on', async () => {
  using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
  for (const n of range(0, 9)) publishEvent(recorder.publisher, stream, n);
  recorder.publisher.abandon();
  expect(recorder.publisher.inFlight).toBe(0);
  for (const n of range(10, 19)) publishEvent(recorder.publisher, stream, n);
  await recorder.until(10);
  expect(recorder.settled).toEqual(range(10, 19).map((n) => [n, n + 1]));
});

describe('answers that are none', () => {
  const outside = () => `${stream.name}_outside`;
  const answer = (text: (count: number) => string[]) => {
    let count = 0;
    stream.link.connection.subscribe(outside(), {
      callback: (_error, message) => {
        for (const reply of text(count)) message.respond(reply);
        count++;
      },
    });
    return stream.link.connection.flush();
  };

  test('garbage, strange streams and sequences of nothing are ambiguous', async () => {
    const answers = [
      '',
      'ok',
      '{}',
      '{"stream":"OTHER","seq":1}',
      `{"stream":"${stream.name}","seq":0}`,
      '[1',
    ];
    await answer((count) => [answers[count] as string]);
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
    for (const n of answers.keys()) publishEvent(recorder.publisher, { ...stream, subject: outside() }, n);
    await recorder.until(answers.length);
    expect(recorder.kinds()).toEqual(answers.map(() => 'ambiguous'));
  });

  test('a second answer to one message does not settle another', async () => {
    const good = `{"stream":"${stream.name}", "seq":77}`;
    await answer((count) => (count === 0 ? [good, good, good] : []));
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
    publishEvent(recorder.publisher, { ...stream, subject: outside() }, 0);
    await recorder.until(1);
    publishEvent(recorder.publisher, { ...stream, subject: outside() }, 1);
    await stream.link.connection.flush();
    expect(recorder.settled).toEqual([[0, 77]]);
    expect(recorder.publisher.inFlight).toBe(1);
  });

  test('silence is ambiguous after the timeout, and a late answer is ignored', async () => {
    const late: (() => void)[] = [];
    stream.link.connection.subscribe(outside(), {
      callback: (_error, message) => {
        late.push(() => message.respond(`{"stream":"${stream.name}", "seq":5}`));
      },
    });
    await stream.link.connection.flush();
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name, ackTimeoutMs: 40 });
    publishEvent(recorder.publisher, { ...stream, subject: outside() }, 1);
    publishEvent(recorder.publisher, { ...stream, subject: outside() }, 2);
    await recorder.until(2);
    expect(recorder.settled).toEqual(
      [1, 2].map((n) => [n, { kind: 'ambiguous', reason: 'no answer in 40 ms' }]),
    );
    for (const respond of late) respond();
    await stream.link.connection.flush();
    expect(recorder.settled).toHaveLength(2);
  });

  test('no stream on the subject is unavailable, in words that do not accuse JetStream', async () => {
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
    publishEvent(recorder.publisher, { ...stream, subject: outside() }, 1);
    await recorder.until(1);
    expect(recorder.settled[0]?.[1]).toMatchObject({
      kind: 'unavailable',
      reason: expect.stringContaining('covers its subject'),
    });
  });
});

describe('the window', () => {
  test('closes at the number of messages and opens as they are answered', async () => {
    let opened = 0;
    using recorder = createRecordingPublisher({
      link: stream.link,
      stream: stream.name,
      maxInFlight: 10,
      onRoom: () => opened++,
    });
    const { publisher } = recorder;
    for (const n of range(0, 9)) {
      expect(publisher.hasRoom()).toBe(true);
      publishEvent(publisher, stream, n);
    }
    expect(publisher.hasRoom()).toBe(false);
    await publisher.room(forever);
    expect(publisher.hasRoom()).toBe(true);
    expect(opened).toBe(1);
    for (const n of range(10, 999)) {
      if (!publisher.hasRoom()) await publisher.room(forever);
      expect(publisher.inFlight).toBeLessThan(10);
      publishEvent(publisher, stream, n);
    }
    await recorder.until(1000);
    expect(recorder.settled).toEqual(range(0, 999).map((n) => [n, n + 1]));
  });

  test('closes at the number of bytes, and one message larger than that passes alone', async () => {
    using recorder = createRecordingPublisher({
      link: stream.link,
      stream: stream.name,
      maxInFlightBytes: 5_000,
    });
    const { publisher } = recorder;
    const event = { payload: Buffer.alloc(2_000) };
    publishEvent(publisher, stream, 0, { event });
    publishEvent(publisher, stream, 1, { event });
    expect(publisher.hasRoom()).toBe(true);
    publishEvent(publisher, stream, 2, { event });
    expect(publisher.hasRoom()).toBe(false);
    await recorder.until(3);
    publishEvent(publisher, stream, 3, { event: { payload: Buffer.alloc(100_000) } });
    expect(publisher.hasRoom()).toBe(false);
    await recorder.until(4);
    expect(recorder.kinds()).toEqual(Array(4).fill('stored'));
  });

  test('waiting for room ends with the signal, and with close', async () => {
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name, maxInFlight: 1 });
    publishEvent(recorder.publisher, stream, 0);
    const controller = new AbortController();
    const aborted = recorder.publisher.room(controller.signal);
    controller.abort();
    await aborted;
    const closed = recorder.publisher.room(forever);
    recorder.publisher.close();
    await closed;
    publishEvent(recorder.publisher, stream, 1);
    await recorder.until(1);
    expect(recorder.settled).toMatchObject([[1, { kind: 'unavailable' }]]);
  });
});

describe('what can never be sent', () => {
  test('is refused before it costs the connection', async () => {
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
    const { publisher } = recorder;
    const lost: string[] = [];
    stream.link.onDisconnect(() => lost.push('disconnect'));
    publishEvent(publisher, stream, 0, { event: { payload: Buffer.alloc(stream.link.maxPayload) } });
    publishEvent(publisher, { ...stream, subject: `${stream.name}.${'a'.repeat(4_000)}` }, 1);
    publishEvent(publisher, { ...stream, subject: `${stream.name}.a b` }, 2);
    publishEvent(publisher, { ...stream, subject: '' }, 3);
    expect(recorder.settled).toHaveLength(0);
    publishEvent(publisher, stream, 4);
    await recorder.until(5);
    expect(recorder.settled.map(([token]) => token)).toEqual([0, 1, 2, 3, 4]);
    expect(recorder.kinds()).toEqual(['refused', 'refused', 'refused', 'refused', 'stored']);
    expect(lost).toEqual([]);
  });

  test('a subject as long as is let through does not cost the connection either', async () => {
    using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
    publishEvent(recorder.publisher, { ...stream, subject: `${stream.name}.`.padEnd(3_800, 'a') }, 1);
    await recorder.until(1);
    expect(recorder.kinds()).toEqual(['stored']);
  });
});

test('losing the connection fails what is in flight, in order; afterwards it goes on', async () => {
  await using nats = await startNats();
  await using own = await openScratchStream({ url: nats.url });
  using recorder = createRecordingPublisher({ link: own.link, stream: own.name });
  publishEvent(recorder.publisher, own, 0, { expected: 0 });
  await recorder.until(1);

  const reconnected = new Promise<void>((resolve) => own.link.onReconnect(resolve));
  nats.kill('SIGSTOP');
  for (const n of range(1, 50)) publishEvent(recorder.publisher, own, n, { expected: n });
  nats.kill('SIGKILL');
  await recorder.until(51);
  expect(recorder.settled.slice(1).map(([token]) => token)).toEqual(range(1, 50));
  expect(new Set(recorder.kinds().slice(1))).toEqual(new Set(['ambiguous']));
  expect(own.link.connected).toBe(false);

  publishEvent(recorder.publisher, own, 51);
  expect(recorder.settled).toHaveLength(51);
  await recorder.until(52);
  expect(recorder.settled[51]).toEqual([51, { kind: 'unavailable', reason: 'not connected to NATS' }]);

  await nats.start();
  await reconnected;
  await own.link.waitConnected(forever);
  const { lastSequence } = await own.state();
  publishEvent(recorder.publisher, own, 52, { expected: lastSequence });
  await recorder.until(53);
  expect(recorder.settled[52]).toEqual([52, lastSequence + 1]);
});

test('what the server does not permit is no fault of the event, and told with its reason', async () => {
  await using nats = await startNats({
    config: `authorization { users: [ { user: all, password: p },
      { user: mute, password: p, permissions: { publish: { deny: "*.secret" } } },
      { user: deaf, password: p, permissions: { subscribe: { deny: "_INBOX.>" } } } ] }`,
  });
  const as = (user: string) => nats.url.replace('nats://', `nats://${user}:p@`);
  await using own = await openScratchStream({ url: as('all') });
  await using mute = await connectBroker({ servers: [as('mute')] }, { logger: silentLogger() });
  await using deaf = await connectBroker({ servers: [as('deaf')] }, { logger: silentLogger() });

  using first = createRecordingPublisher({ link: mute, stream: own.name, ackTimeoutMs: 100 });
  publishEvent(first.publisher, { ...own, subject: `${own.name}.secret` }, 1);
  await first.until(1);
  expect(first.settled[0]?.[1]).toMatchObject({
    kind: 'ambiguous',
    reason: expect.stringMatching(/no answer in 100 ms; .*secret/),
  });

  using second = createRecordingPublisher({ link: deaf, stream: own.name, ackTimeoutMs: 100 });
  publishEvent(second.publisher, own, 2);
  await second.until(1);
  expect(second.settled[0]?.[1]).toMatchObject({
    kind: 'ambiguous',
    reason: expect.stringMatching(/no answer in 100 ms; .*_INBOX/),
  });
});

test('a bug in a callback is heard and does not end the connection', async () => {
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  try {
    const heard = once(process, 'uncaughtException');
    using recorder = createRecordingPublisher({
      link: stream.link,
      stream: stream.name,
      maxInFlight: 1,
      onRoom: () => {
        throw new Error('a bug');
      },
    });
    publishEvent(recorder.publisher, stream, 1);
    expect((await heard)[0]).toMatchObject({ message: 'a bug' });
    await stream.link.connection.flush();
  } finally {
    for (const listener of listeners) process.on('uncaughtException', listener);
  }
});
