import { RetentionPolicy } from '@nats-io/jetstream';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { defineEvent, InvalidPayload } from '../../src/index.ts';
import { type Bus, type CoreMessage, describeDifference, openBus } from '../../src/messaging/index.ts';
import { startTcpProxy } from '../../src/testing/index.ts';
import { natsUrl, scratchName } from '../support/services.ts';

async function scene() {
  const bus = await openBus({ nats: natsUrl() });
  onTestFinished(() => bus.close());
  return { bus, name: scratchName('bus') };
}

/** What a subscription has got so far. */
function listen(bus: Bus, subject: string, queue?: string) {
  const messages: CoreMessage[] = [];
  const options = queue === undefined ? {} : { queue };
  const subscription = bus.subscribe(subject, (message) => void messages.push(message), options);
  onTestFinished(() => subscription.stop());
  return { messages, subscription, subjects: () => messages.map((message) => message.subject) };
}

test('core: subjects with wildcards, at most once, to everyone who listens by then', async () => {
  const { bus, name } = await scene();
  bus.publish({ subject: `${name}.ng.patient.1`, payload: 'nobody listens' });
  const all = listen(bus, `${name}.>`);
  const one = listen(bus, `${name}.*.patient.1`);
  bus.publish({
    subject: `${name}.ng.patient.1`,
    payload: { a: 1 },
    key: '1',
    type: 'patient.registered',
    headers: { trace: 'x' },
  });
  bus.publish({ subject: `${name}.gb.patient.2`, payload: new Uint8Array([0, 255]) });
  await expect.poll(all.subjects).toEqual([`${name}.ng.patient.1`, `${name}.gb.patient.2`]);
  expect(one.subjects()).toEqual([`${name}.ng.patient.1`]);
  expect(one.messages[0]).toMatchObject({ key: '1', type: 'patient.registered', headers: { trace: 'x' } });
  expect(one.messages[0]?.json()).toEqual({ a: 1 });
  expect([...(all.messages[1]?.payload ?? [])]).toEqual([0, 255]);
});

test('core: of a queue group each message goes to one, and a handler that throws loses its message alone', async () => {
  const { bus, name } = await scene();
  const [one, other] = [listen(bus, `${name}.*`, 'workers'), listen(bus, `${name}.*`, 'workers')];
  let calls = 0;
  const failing = bus.subscribe(`${name}.*`, () => {
    calls++;
    throw new Error('no');
  });
  onTestFinished(() => failing.stop());
  for (let i = 0; i < 200; i++) bus.publish({ subject: `${name}.${i}`, payload: i });
  await expect.poll(() => one.messages.length + other.messages.length).toBe(200);
  expect(Math.min(one.messages.length, other.messages.length)).toBeGreaterThan(20);
  await expect.poll(() => calls).toBe(200);
});

test('a subscription that was stopped has handled what had come', async () => {
  const { bus, name } = await scene();
  const { subscription, messages } = listen(bus, `${name}.*`);
  for (let i = 0; i < 50; i++) bus.publish({ subject: `${name}.${i}`, payload: i });
  await subscription.stop();
  expect(messages).toHaveLength(50);
});

test('store: confirmed, and once for an id within the window', async () => {
  const { bus, name } = await scene();
  await bus.ensureStream({ name, subjects: [`${name}.>`] });
  const event = { subject: `${name}.a`, payload: 1, eventId: '0190f5a4-0000-7000-8000-000000000001' };
  expect(await bus.store(event)).toEqual({ stream: name, sequence: 1, duplicate: false });
  expect(await bus.store(event)).toEqual({ stream: name, sequence: 1, duplicate: true });
  await expect(bus.store({ subject: `elsewhere_${name}.a`, payload: 1 })).rejects.toMatchObject({
    code: 'broker-unreachable',
    hint: expect.stringContaining('a stream captures the subject'),
  });
  await expect(bus.store({ subject: 'a b', payload: 1 })).rejects.toMatchObject({ code: 'event-invalid' });
  const declared = defineEvent({ type: 'a', subject: `${name}.{id}`, schema: z.object({ id: z.string() }) });
  expect(await bus.store(declared({ id: 'x.y' }))).toMatchObject({ sequence: 2 });
  await expect(bus.store(declared({ id: 7 } as never))).rejects.toBeInstanceOf(InvalidPayload);
  for await (const { subject, type } of bus.readStream({ stream: name, from: { fromSequence: 2 } }))
    expect([subject, type]).toEqual([`${name}.x%2Ey`, 'a']);
});

test('a stream is created as declared, found as declared, and what differs is reported and not changed', async () => {
  const { bus, name } = await scene();
  const declared = {
    name,
    subjects: [`${name}.>`, `other_${name}.*`],
    retention: 'limits',
    discard: 'old',
    storage: 'memory',
    maxMessages: 1_000,
    maxBytes: 1_000_000,
    maxAgeMs: 3_600_000,
    maxMessagesPerSubject: 5,
    maxMessageSize: 10_000,
    duplicateWindowMs: 5_000,
    replicas: 1,
  } as const;
  expect(await bus.ensureStream(declared)).toEqual({ name, created: true, differences: [] });
  expect(await bus.ensureStream({ ...declared, subjects: declared.subjects.toReversed() })).toEqual({
    name,
    created: false,
    differences: [],
  });
  const drift = await bus.ensureStream({ ...declared, maxMessages: 50, retention: 'workqueue' });
  expect(drift.differences.map(describeDifference).sort()).toEqual([
    'maxMessages is 1000, declared is 50',
    'retention is "limits", declared is "workqueue"',
  ]);
  expect((await bus.ensureStream(declared)).differences).toEqual([]);
  await expect(bus.ensureStream({ name: `${name}_2`, subjects: [`${name}.a`] })).rejects.toMatchObject({
    code: 'stream-unsuitable',
  });
});

test('a durable is created as declared, and what differs is reported and not changed', async () => {
  const { bus, name } = await scene();
  await bus.ensureStream({ name, subjects: [`${name}.>`] });
  const declared = {
    stream: name,
    durable: 'd',
    subjects: [`${name}.a`],
    deliverPolicy: 'last-per-subject',
    ackWaitMs: 2_000,
    maxAckPending: 7,
    maxDeliver: 3,
  } as const;
  expect(await bus.ensureConsumer(declared)).toEqual({ name: 'd', created: true, differences: [] });
  expect(await bus.ensureConsumer(declared)).toEqual({ name: 'd', created: false, differences: [] });
  const drift = await bus.ensureConsumer({ ...declared, ackWaitMs: 3_000, subjects: [] });
  expect(drift.differences.map(describeDifference).sort()).toEqual([
    'ackWaitMs is 2000, declared is 3000',
    `subjects is ["${name}.a"], declared is []`,
  ]);
  const ephemeral = await bus.ensureConsumer({ stream: name, ackPolicy: 'none', inactiveAfterMs: 1_000 });
  expect(ephemeral).toMatchObject({ created: true, name: expect.stringMatching(/^\w{8,}$/) });
  await expect(bus.ensureConsumer({ stream: `${name}_no`, durable: 'd' })).rejects.toMatchObject({
    code: 'stream-unsuitable',
  });
});

test('a stream is read from its first message, a sequence, a time, its last, and as it grows', async () => {
  const { bus, name } = await scene();
  await bus.ensureStream({ name, subjects: [`${name}.>`] });
  for (let i = 1; i <= 6; i++)
    await bus.store({ subject: `${name}.${i % 2 === 0 ? 'even' : 'odd'}`, payload: i });
  const read = async (options: Omit<Parameters<Bus['readStream']>[0], 'stream'>) => {
    const payloads: unknown[] = [];
    for await (const event of bus.readStream({ stream: name, ...options })) payloads.push(event.json());
    return payloads;
  };
  expect(await read({})).toEqual([1, 2, 3, 4, 5, 6]);
  expect(await read({ from: { fromSequence: 5 } })).toEqual([5, 6]);
  expect(await read({ subjects: [`${name}.even`] })).toEqual([2, 4, 6]);
  expect(await read({ from: 'last' })).toEqual([6]);
  expect(await read({ from: 'last-per-subject', subjects: [`${name}.*`] })).toEqual([5, 6]);
  expect(await read({ subjects: [`${name}.none`] })).toEqual([]);
  const times: number[] = [];
  for await (const { time } of bus.readStream({ stream: name })) times.push(time.getTime());
  const fromTime = new Date(times[2] ?? 0);
  const since = [1, 2, 3, 4, 5, 6].filter((_, i) => (times[i] ?? 0) >= fromTime.getTime());
  expect(await read({ from: { fromTime } })).toEqual(since);
  const live: unknown[] = [];
  for await (const event of bus.readStream({ stream: name, from: { fromSequence: 6 }, until: 'never' })) {
    live.push(event.json());
    if (live.length === 1) await bus.store({ subject: `${name}.odd`, payload: 7 });
    else break;
  }
  expect(live).toEqual([6, 7]);
});

test('a work queue lets nobody look beside its consumer, and says so', async () => {
  const { bus, name } = await scene();
  await bus.ensureStream({ name, subjects: [`${name}.>`], retention: RetentionPolicy.Workqueue });
  await bus.ensureConsumer({ stream: name, durable: 'worker' });
  const reading = async () => {
    for await (const _ of bus.readStream({ stream: name })) return;
  };
  await expect(reading()).rejects.toMatchObject({ code: 'stream-unsuitable' });
});

test('readStream: what expires before it is delivered is not waited for', async () => {
  const { bus, name } = await scene();
  await bus.ensureStream({ name, subjects: [`${name}.>`], maxAgeMs: 2_400 });
  const { hostname, port } = new URL(natsUrl().split(',')[0] ?? '');
  await using proxy = await startTcpProxy({ host: hostname, port: Number(port) });
  const slow = await openBus({ nats: proxy.through(natsUrl().split(',')[0] ?? '') });
  // They are counted 2 s after they were published, and asked for after 2.8.
  proxy.delay(400);
  for (let i = 0; i < 3; i++) await bus.store({ subject: `${name}.a`, payload: i });
  const read = [];
  for await (const { sequence } of slow.readStream({ stream: name })) read.push(sequence);
  expect(read).toEqual([]);
  proxy.heal();
  await slow.close();
});
