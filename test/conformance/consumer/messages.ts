import { createHash, randomUUID } from 'node:crypto';
import type { Stage } from '../stage.ts';
import { expectSame, type Rule } from '../verdict.ts';
import { openScene } from './scene.ts';

/** How a message is read. */
export const MESSAGES: readonly Rule<Stage>[] = [
  { id: 'P-M1', about: 'markers are passed over and acknowledged', check: passesOverMarkers },
  { id: 'P-M2', about: 'an event is known by its id, whoever published it', check: knowsIds },
  { id: 'P-M3', about: 'subject, key, type, headers and payload are read as they are', check: readsContent },
];

async function passesOverMarkers(stage: Stage): Promise<void> {
  const scene = await openScene(stage);
  await using _driver = await scene.consume();
  await scene.publish({
    subject: scene.subject('_postcommit'),
    payload: '',
    headers: {
      'Postcommit-Skipped': randomUUID(),
      'Postcommit-Source': 'shop@1',
      'Postcommit-Position': '7',
    },
  });
  const subject = scene.subject('event');
  const last = await scene.publish({ subject, headers: { 'Postcommit-Event-Id': randomUUID() } });
  await scene.settled(last);
  expectSame('effects of an event behind a marker', {
    seen: (await scene.effects()).map((effect) => effect.subject),
    expected: [subject],
  });
}

async function knowsIds(stage: Stage): Promise<void> {
  const scene = await openScene(stage);
  await using _driver = await scene.consume();
  const unlike = (length: number) => randomUUID().repeat(20).slice(0, length);
  const [own, foreign] = [randomUUID(), `order ${randomUUID()}`];
  const [longest, tooLong] = [unlike(512), unlike(513)];
  const both = { 'Postcommit-Event-Id': own, 'Nats-Msg-Id': `${own}:17` };
  const cases = [
    { headers: both, id: () => own },
    { headers: { 'Nats-Msg-Id': foreign }, id: () => foreign },
    { headers: { 'X-Other': 'no id' }, id: (sequence: number) => `${stage.stream}:${sequence}` },
    { headers: { 'Nats-Msg-Id': longest }, id: () => longest },
    {
      headers: { 'Nats-Msg-Id': tooLong },
      id: () => `sha256:${createHash('sha256').update(tooLong).digest('hex')}`,
    },
  ];
  const expected: string[] = [];
  let last = 0;
  for (const { headers, id } of cases) {
    last = await scene.publish({ subject: scene.subject('id'), headers });
    expected.push(id(last));
  }
  await scene.settled(last);
  const seen = (await scene.effects()).map(({ eventId }) => eventId);
  expectSame('the ids', { seen: seen.sort(), expected: expected.sort() });
}

async function readsContent(stage: Stage): Promise<void> {
  const scene = await openScene(stage);
  await using _driver = await scene.consume();
  const subject = scene.subject('größe.東京');
  const headers = { 'Event-Version': '2', 'X-Name': 'Ọlá' };
  await stage.db.query(
    `SELECT postcommit.enqueue($1, '{"name": "Ọlá"}', key => 'schlüssel', type => 'a.b', headers => $2)`,
    [subject, JSON.stringify(headers)],
  );
  const contentAt = async (count: number) => {
    const effect = (await scene.effect(count))[count - 1];
    return { ...effect, eventId: undefined, tx: undefined, headers: sorted(effect?.headers) };
  };
  expectSame('the event of the relay', {
    seen: await contentAt(1),
    expected: {
      subject,
      key: 'schlüssel',
      type: 'a.b',
      headers: sorted(headers),
      payload: '{"name": "Ọlá"}',
    },
  });
  const foreign = scene.subject('foreign');
  await scene.publish({ subject: foreign, headers: { 'X-Name': 'b' }, payload: 'plain' });
  expectSame("another publisher's message", {
    seen: await contentAt(2),
    expected: { subject: foreign, key: null, type: null, headers: [['X-Name', 'b']], payload: 'plain' },
  });
}

function sorted(headers: Readonly<Record<string, string>> = {}): readonly (readonly [string, string])[] {
  return Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1));
}
