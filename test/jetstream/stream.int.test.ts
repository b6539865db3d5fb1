import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { connectBroker, createStream, lookUpStream, unfitness } from '../../src/jetstream/index.ts';
import { silentLogger } from '../../src/telemetry/logger.ts';
import { natsUrl, scratchName, startNats } from '../support/services.ts';
import { createRecordingPublisher, openScratchStream, publishEvent } from './fixture.ts';

const connect = (url = natsUrl()) => connectBroker({ servers: [url] }, { logger: silentLogger() });

test('ten relays that start at once find one stream', async () => {
  await using link = await connect();
  const links = await Promise.all(Array.from({ length: 10 }, () => connect()));
  const name = scratchName('race');
  try {
    const lookups = await Promise.all(
      links.map((each, index) =>
        createStream(each, {
          name,
          subjects: [`${name}.>`],
          duplicateWindowMs: index % 2 === 0 ? 30_000 : 60_000,
        }),
      ),
    );
    expect(lookups.map(({ kind }) => kind)).toEqual(Array(10).fill('found'));
    expect(new Set(lookups.map((found) => found.kind === 'found' && found.state.created)).size).toBe(1);
  } finally {
    await (await jetstreamManager(link.connection)).streams.delete(name);
    await Promise.all(links.map((each) => each.close()));
  }
});

test('a created stream is told as it is', async () => {
  await using stream = await openScratchStream({ definition: { maxAgeMs: 10_000, maxMessageSize: 5_000 } });
  using recorder = createRecordingPublisher({ link: stream.link, stream: stream.name });
  for (const position of [1, 2, 3]) publishEvent(recorder.publisher, stream, position);
  await recorder.until(3);
  const state = await stream.state();
  expect(state).toMatchObject({
    name: stream.name,
    firstSequence: 1,
    lastSequence: 3,
    messages: 3,
    subjects: [`${stream.name}.>`],
    maxMessageSize: 5_000,
    maxAgeMs: 10_000,
    duplicateWindowMs: 10_000,
    retention: 'limits',
    storage: 'file',
    replicas: 1,
    discard: 'new',
    noAck: false,
    sealed: false,
    mirror: false,
    sources: false,
  });
  expect(state.created).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/);
  expect(unfitness(state, [`${stream.name}.>`])).toEqual([]);
});

test('a recreated stream has another creation time', async () => {
  await using stream = await openScratchStream();
  const before = await stream.state();
  await (await jetstreamManager(stream.link.connection)).streams.delete(stream.name);
  expect(await lookUpStream(stream.link, stream.name)).toEqual({ kind: 'missing' });
  await createStream(stream.link, { name: stream.name, subjects: [`${stream.name}.>`] });
  expect((await stream.state()).created).not.toBe(before.created);
});

test('a stream that cannot be created says why', async () => {
  await using stream = await openScratchStream();
  const other = scratchName('overlap');
  expect(await createStream(stream.link, { name: other, subjects: [stream.subject] })).toMatchObject({
    kind: 'refused',
    reason: expect.stringContaining('overlap'),
  });
});

test('no answer is unavailable, in words that tell a person where to look', async () => {
  await using nats = await startNats({
    config: `accounts { NONE { users: [{ user: without, password: p }] }
      SOME { jetstream: enabled, users: [{ user: with, password: p }, { user: denied, password: p, permissions: { publish: { deny: "$JS.>" } } }] } }`,
  });
  const as = (user: string) => connect(nats.url.replace('nats://', `nats://${user}:p@`));
  await using off = await as('without');
  await using on = await as('with');
  await using denied = await as('denied');
  expect(await lookUpStream(off, 'x')).toMatchObject({
    kind: 'unavailable',
    reason: expect.stringMatching(/off|not enabled/),
  });
  expect(await lookUpStream(on, 'x')).toEqual({ kind: 'missing' });
  expect(await lookUpStream(denied, 'x')).toMatchObject({
    kind: 'unavailable',
    reason: expect.stringContaining('permit'),
  });
  const underWay = Promise.all([
    lookUpStream(on, 'x'),
    new Promise<void>((resolve) => on.onDisconnect(resolve)),
  ]);
  nats.kill('SIGKILL');
  await underWay;
  expect(await lookUpStream(on, 'x')).toEqual({ kind: 'unavailable', reason: 'not connected to NATS' });
});
