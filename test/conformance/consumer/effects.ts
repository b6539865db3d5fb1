import { randomUUID } from 'node:crypto';
import { startTcpProxy } from '../../../src/testing/index.ts';
import type { Stage } from '../stage.ts';
import { eventually, expectSame, type Rule, Unmet } from '../verdict.ts';
import { failing, openScene, type Scene, shutGate } from './scene.ts';

/** One effect of each event, whatever dies. */
export const EFFECTS: readonly Rule<Stage>[] = [
  {
    id: 'P-C1',
    about: 'effect and inbox row are one transaction, with the place in the stream',
    check: recordsWithEffect,
  },
  { id: 'P-C2', about: 'that transaction commits with synchronous_commit = on', check: commitsDurably },
  {
    id: 'P-C3',
    about: 'it acknowledges after the commit: killed during COMMIT, the event comes again',
    check: acksAfterCommit,
  },
  {
    id: 'P-C4',
    about: 'killed between commit and ack: no second effect, and the message is acknowledged',
    check: onceAfterCrash,
  },
  {
    id: 'P-C5',
    about: 'an effect that fails leaves nothing, and is tried again',
    check: failureLeavesNothing,
  },
  {
    id: 'P-C6',
    about: 'a copy or a replay of an event has no second effect, and is acknowledged',
    check: onceAfterReplay,
  },
  {
    id: 'P-C7',
    about: 'two instances of a consumer share one inbox: one effect of each event',
    check: twoInstances,
  },
];

const eventOf = (id: string = randomUUID()) => ({ 'Postcommit-Event-Id': id, 'Nats-Msg-Id': randomUUID() });

async function recordsWithEffect(stage: Stage): Promise<void> {
  const scene = await openScene(stage);
  await using _driver = await scene.consume();
  const sequence = await scene.publish({ subject: scene.subject('one'), headers: eventOf() });
  const [effect] = await scene.effect(1);
  const { rows } = await stage.db.query(
    'SELECT event_id, stream, sequence::int, tx::text FROM conformance.recorded WHERE consumer = $1',
    [scene.durable],
  );
  expectSame('the inbox to hold a row of the same transaction, with stream and sequence', {
    seen: rows,
    expected: [{ event_id: effect?.eventId, stream: stage.stream, sequence, tx: effect?.tx }],
  });
}

async function commitsDurably(stage: Stage): Promise<void> {
  const scene = await openScene(stage);
  await using _driver = await scene.consume();
  const subject = scene.subject('durable');
  await scene.publish({ subject, headers: eventOf() });
  await scene.effect(1);
  const { rows } = await stage.db.query<{ synchronous_commit: string }>(
    'SELECT synchronous_commit FROM conformance.commits WHERE subject = $1',
    [subject],
  );
  const [{ synchronous_commit: seen } = { synchronous_commit: 'unknown' }] = rows;
  if (seen !== 'on' && seen !== 'remote_apply')
    throw new Unmet(
      'synchronous_commit = on at the COMMIT, where the default of the database is off',
      `it was ${seen}`,
    );
}

async function acksAfterCommit(stage: Stage): Promise<void> {
  const scene = await openScene(stage);
  const subject = scene.subject('early');
  await killDuringCommit(scene, subject);
  await using _second = await scene.consume();
  await eventually(
    'the event to be delivered again, since its COMMIT never ended',
    async () => (await scene.effects()).length > 0,
    {
      seen: async () => `there is no effect, and the durable says ${JSON.stringify(await scene.progress())}`,
    },
  );
}

/** Publishes an event, and ends the client and its session while they commit its effect. */
export async function killDuringCommit(
  scene: Scene,
  subject: string,
  { order, headers = eventOf() }: { order?: 'key'; headers?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const driver = await scene.consume(order === undefined ? {} : { order });
  const gate = await shutGate(scene.stage, subject);
  try {
    await scene.publish({ subject, headers });
    await gate.reached();
    await driver.kill();
    await gate.expel();
  } finally {
    await driver.kill();
    await gate.open();
  }
}

async function onceAfterCrash(stage: Stage): Promise<void> {
  const scene = await openScene(stage);
  const [natsUrl = ''] = stage.servers.natsUrl.split(',');
  const { hostname: host, port } = new URL(natsUrl);
  await using proxy = await startTcpProxy({ host, port: Number(port || 4222) });
  const driver = await scene.consume({ natsUrl: proxy.through(natsUrl) });
  let sequence = 0;
  try {
    await eventually(
      'the client to ask for messages',
      async () => (await scene.progress()).waitingPulls > 0,
      {
        seen: () => 'it does not',
      },
    );
    // What it is sent arrives; what it answers does not.
    proxy.blackHole({ direction: 'up' });
    sequence = await scene.publish({ subject: scene.subject('crash'), headers: eventOf() });
    await scene.effect(1);
  } finally {
    await driver.kill();
    proxy.cut();
  }
  await using _second = await scene.consume();
  await scene.settled(sequence);
  expectSame('effects of the event', { seen: (await scene.effects()).length, expected: 1 });
}

async function failureLeavesNothing(stage: Stage): Promise<void> {
  const scene = await openScene(stage);
  const subject = scene.subject('fails');
  const failure = await failing(stage, subject);
  await using _driver = await scene.consume();
  const sequence = await scene.publish({ subject, headers: eventOf() });
  await failure.reached(1);
  const { rows } = await stage.db.query('SELECT FROM postcommit.inbox WHERE consumer = $1', [scene.durable]);
  expectSame('inbox rows of an event whose effect failed', { seen: rows.length, expected: 0 });
  await failure.over();
  await eventually('another attempt', async () => (await scene.effects()).length > 0, {
    seen: async () => `none came, and the durable says ${JSON.stringify(await scene.progress())}`,
  });
  await scene.settled(sequence);
  expectSame('effects of the event', { seen: (await scene.effects()).length, expected: 1 });
}

const REPLAY_WITHIN_MS = 60_000;

async function onceAfterReplay(stage: Stage): Promise<void> {
  const { db } = stage;
  const scene = await openScene(stage);
  await using _driver = await scene.consume();
  const subject = scene.subject('replayed');
  await db.query(`SELECT postcommit.enqueue($1, '{}')`, [subject]);
  const [effect] = await scene.effect(1);
  const { rows } = await db.query<{ id: string }>(
    `INSERT INTO postcommit.requests (kind, detail) VALUES ('replay', jsonb_build_object('subject', $1::text)) RETURNING id`,
    [subject],
  );
  await eventually('the relay to replay', () => isAnswered(stage, rows[0]?.id), {
    seen: () => 'it did not',
    withinMs: REPLAY_WITHIN_MS,
  });
  const id = effect?.eventId ?? '';
  const last = await scene.publish({ subject: scene.subject('copy'), headers: eventOf(id) });
  await scene.settled(last);
  expectSame('effects of the event and two copies of it', {
    seen: (await scene.effects()).length,
    expected: 1,
  });
}

async function isAnswered({ db }: Stage, request: string | undefined): Promise<boolean> {
  const text = 'SELECT FROM postcommit.requests WHERE id = $1 AND finished_at IS NOT NULL';
  return (await db.query(text, [request])).rows.length > 0;
}

const SHARED_EVENTS = 30;

async function twoInstances(stage: Stage): Promise<void> {
  const scene = await openScene(stage);
  await using _one = await scene.consume();
  await using _other = await scene.consume();
  const ids = Array.from({ length: SHARED_EVENTS }, () => randomUUID());
  let last = 0;
  // Copies next to each other: the two have them in hand at the same time.
  for (const id of ids.flatMap((each) => [each, each]))
    last = await scene.publish({ subject: scene.subject('shared'), headers: eventOf(id) });
  await scene.settled(last);
  const seen = (await scene.effects()).map(({ eventId }) => eventId).sort();
  expectSame('one effect of each event', { seen, expected: ids.sort() });
}
