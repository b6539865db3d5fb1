import { jetstreamManager } from '@nats-io/jetstream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { markerHeaderBlock, readBack } from '../../src/jetstream/index.ts';
import { startNats } from '../support/services.ts';
import { createRecordingPublisher, openScratchStream, publishEvent, type ScratchStream } from './fixture.ts';

let stream: ScratchStream;
beforeEach(async () => {
  stream = await openScratchStream();
});
afterEach(() => stream[Symbol.asyncDispose]());

async function fill(target: ScratchStream, count: number, payload = Buffer.from('x')): Promise<void> {
  using recorder = createRecordingPublisher({ link: target.link, stream: target.name });
  for (let position = 1; position <= count; position++)
    publishEvent(recorder.publisher, target, position, { source: 'db/1', event: { payload } });
  await recorder.until(count);
}

test('ours, markers, foreign messages and gaps are told apart, in order', async () => {
  await fill(stream, 3);
  const { connection } = stream.link;
  const manager = await jetstreamManager(connection);
  await connection.request(stream.subject, 'foreign');
  using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
  const headers = markerHeaderBlock(
    { eventId: 'poison', position: 4 },
    { stream: stream.name, source: 'db/1', expectedLastSequence: 4 },
  );
  recorder.publisher.publish({ subject: stream.subject, headers, payload: new Uint8Array(0) }, 4);
  await recorder.until(1);
  await manager.streams.deleteMessage(stream.name, 2);

  const message = { kind: 'message', subject: stream.subject, source: 'db/1', skipped: null };
  expect(await readBack(stream.link, { stream: stream.name, from: 1, to: 6 })).toEqual([
    { ...message, sequence: 1, position: 1, eventId: 'event-1' },
    { kind: 'gone', sequence: 2 },
    { ...message, sequence: 3, position: 3, eventId: 'event-3' },
    { ...message, sequence: 4, source: null, position: null, eventId: null },
    { ...message, sequence: 5, position: 4, eventId: null, skipped: 'poison' },
    { kind: 'gone', sequence: 6 },
  ]);
});

test('a part of a long stream is read in order, however few at a time', async () => {
  await fill(stream, 600);
  for (const window of [1, 7, 128]) {
    const found = await readBack(stream.link, { stream: stream.name, from: 101, to: 500, window });
    expect(found.map((each) => each.kind === 'message' && each.position)).toEqual(
      Array.from({ length: 400 }, (_, index) => 101 + index),
    );
  }
  expect(await readBack(stream.link, { stream: stream.name, from: 5, to: 4 })).toEqual([]);
});

test('large messages are read too', async () => {
  await fill(stream, 40, Buffer.alloc(500_000));
  const found = await readBack(stream.link, { stream: stream.name, from: 1, to: 40 });
  expect(found.filter(({ kind }) => kind === 'message')).toHaveLength(40);
});

test('a strange position is none', async () => {
  const { connection } = stream.link;
  const { headers } = await import('@nats-io/transport-node');
  const strange = headers();
  strange.set('Postcommit-Position', '1e3');
  await connection.request(stream.subject, '', { headers: strange, timeout: 5_000 });
  const [found] = await readBack(stream.link, { stream: stream.name, from: 1, to: 1 });
  expect(found).toMatchObject({ kind: 'message', position: null });
});

test('a work queue is read without a consumer', async () => {
  await using queue = await openScratchStream({ definition: { retention: 'workqueue' } });
  await fill(queue, 2);
  const found = await readBack(queue.link, { stream: queue.name, from: 1, to: 2 });
  expect(found.map(({ kind }) => kind)).toEqual(['message', 'message']);
});

test('what cannot be read is an error to try again after, not an empty stream', async () => {
  const unreachable = expect.objectContaining({ code: 'broker-unreachable' });
  await expect(readBack(stream.link, { stream: `${stream.name}_no`, from: 1, to: 2 })).rejects.toEqual(
    unreachable,
  );
  await expect(
    readBack(stream.link, { stream: stream.name, from: 1, to: 2, signal: AbortSignal.abort() }),
  ).rejects.toEqual(unreachable);

  await using nats = await startNats();
  await using own = await openScratchStream({ url: nats.url });
  await fill(own, 200);
  nats.kill('SIGSTOP');
  const reading = readBack(own.link, { stream: own.name, from: 1, to: 200 });
  nats.kill('SIGKILL');
  await expect(reading).rejects.toEqual(unreachable);
});
