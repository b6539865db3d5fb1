import { randomUUID } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { REMOTE, startRecorder } from './recorder.ts';
import { openScene, type Scene } from './scene.ts';

const IDS = [randomUUID(), randomUUID(), randomUUID()];
const EVENTS = [
  {},
  { key: 'a', type: 'patient.registered', headers: { a: 'b' } },
  { headers: { traceparent: REMOTE.traceparent, tracestate: 'vendor=1' } },
].map((event, i) => ({ ...event, eventId: IDS[i] as string, payload: { i } }));

test('without tracing messages are, byte for byte, what they were before there was any', async () => {
  const scene = await openScene();
  const before = (position: number, own: string) =>
    [
      'NATS/1.0',
      `Nats-Expected-Stream: ${scene.stream}`,
      'Postcommit-Source: shop',
      `Postcommit-Position: ${position}`,
      `Postcommit-Event-Id: ${IDS[position - 1]}`,
      `Nats-Msg-Id: ${IDS[position - 1]}`,
      `Nats-Expected-Last-Sequence: ${position - 1}`,
      `${own}\r\n`,
    ].join('\r\n');
  expect(await bytesOf(scene)).toEqual([
    [before(1, ''), '{"i":0}'],
    [before(2, 'Postcommit-Key: a\r\nPostcommit-Type: patient.registered\r\na: b\r\n'), '{"i":1}'],
    [before(3, `tracestate: vendor=1\r\ntraceparent: ${REMOTE.traceparent}\r\n`), '{"i":2}'],
  ]);
});

test('with tracing, too, for what was not written in a span', async () => {
  const scene = await openScene();
  const plain = await bytesOf(scene);
  const recorder = startRecorder();
  onTestFinished(() => recorder.stop());
  const other = await openScene();
  const traced = await bytesOf(other);
  await recorder.ended('send', 1);
  const named = traced.map((parts) => parts.map((part) => part.replaceAll(other.stream, scene.stream)));
  expect(named).toEqual(plain);
});

/** Headers and payloads of the events, as the wire has them. */
async function bytesOf(scene: Scene): Promise<string[][]> {
  const seen: string[][] = [];
  scene.connection.subscribe(`${scene.stream}.>`, {
    callback: (_, message) => {
      const { hdr, subject } = (message as unknown as { _msg: { hdr: number; subject: Uint8Array } })._msg;
      const raw = Buffer.from((message as unknown as { _rdata: Uint8Array })._rdata);
      expect(subject.length).toBeGreaterThan(0);
      seen.push([raw.subarray(0, hdr).toString(), raw.subarray(hdr).toString()]);
    },
  });
  await scene.connection.flush();
  const relay = await scene.startRelay({ source: 'shop' });
  onTestFinished(() => relay[Symbol.asyncDispose]());
  await relay.until('publishing');
  await scene.enqueue(...EVENTS);
  await expect.poll(() => seen.length).toBe(EVENTS.length);
  return seen;
}
