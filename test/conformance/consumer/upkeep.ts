import { randomUUID } from 'node:crypto';
import { createScratchRole } from '../scratch-role.ts';
import type { Stage } from '../stage.ts';
import { eventually, expectSame, type Rule } from '../verdict.ts';
import { killDuringCommit } from './effects.ts';
import { failing, openScene, shutGate } from './scene.ts';

/** Order, slow handlers, giving up, and what is forgotten. */
export const UPKEEP: readonly Rule<Stage>[] = [
  {
    id: 'P-C8',
    about: 'where order counts, the later events of a key wait for one that fails or is interrupted',
    check: keepsOrder,
  },
  {
    id: 'P-C9',
    about: 'a slow effect is reported as in progress, and not delivered again',
    check: staysInProgress,
  },
  {
    id: 'P-C10',
    about: 'what fails too often is a dead letter with its inbox row, and is settled',
    check: givesUp,
  },
  { id: 'P-C11', about: 'the inbox forgets only what the stream does not hold any more', check: prunes },
  { id: 'P-C12', about: 'stopped, it takes no more and leaves nothing in hand', check: stops },
  { id: 'P-C13', about: 'the privileges of a consumer are enough', check: needsLittle },
];

async function keepsOrder(stage: Stage): Promise<void> {
  const scene = await openScene(stage, { withoutDurable: true });
  const headers = () => ({ 'Postcommit-Event-Id': randomUUID(), 'Postcommit-Key': 'k' });
  const subjects = ['1', '2', '3', '4', '5'].map((name) => scene.subject(name));
  const [first = '', second = '', third = '', fourth = '', fifth = ''] = subjects;
  const had = async () => (await scene.effects()).map(({ subject }) => subject);
  const failure = await failing(stage, first);
  {
    await using _driver = await scene.consume({ order: 'key' });
    for (const subject of [first, second, third]) await scene.publish({ subject, headers: headers() });
    await failure.reached(2);
    expectSame('effects while the first event of the key fails', { seen: await had(), expected: [] });
    await failure.over();
    await scene.effect(3);
    await scene.settled(await stage.manager.streams.info(stage.stream).then(({ state }) => state.last_seq));
  }
  await killDuringCommit(scene, fourth, { order: 'key', headers: headers() });
  await scene.publish({ subject: fifth, headers: headers() });
  await using _second = await scene.consume({ order: 'key' });
  await scene.effect(5);
  expectSame('the order of effects', { seen: await had(), expected: subjects });
}

const SHORT_ACK_WAIT_MS = 1_000;

/** With another instance that asks for messages: to it the server would hand what seems to be given up. */
async function staysInProgress(stage: Stage): Promise<void> {
  const scene = await openScene(stage, { ackWaitMs: SHORT_ACK_WAIT_MS });
  await using _one = await scene.consume();
  await using _other = await scene.consume();
  const subject = scene.subject('slow');
  const gate = await shutGate(stage, subject);
  try {
    const sequence = await scene.publish({ subject, headers: { 'Postcommit-Event-Id': randomUUID() } });
    await gate.reached();
    // Time is what the rule is about: the ack wait has passed three times.
    await new Promise((resolve) => setTimeout(resolve, 3 * SHORT_ACK_WAIT_MS));
    const { deliveries } = await scene.progress();
    expectSame('deliveries of a message that is worked on for three ack waits', {
      seen: deliveries,
      expected: 1,
    });
    await gate.open();
    await scene.settled(sequence);
  } finally {
    await gate.open();
  }
}

const ATTEMPTS = 3;

async function givesUp(stage: Stage): Promise<void> {
  const scene = await openScene(stage);
  const subject = scene.subject('hopeless');
  const id = randomUUID();
  const failure = await failing(stage, subject);
  await using _driver = await scene.consume({ maxAttempts: ATTEMPTS });
  const headers = { 'Postcommit-Event-Id': id, 'Postcommit-Key': 'k', 'Postcommit-Type': 't', 'X-Own': 'o' };
  const sequence = await scene.publish({ subject, headers, payload: '{"a":1}' });
  await scene.settled(sequence);
  expectSame('attempts', { seen: await failure.count(), expected: ATTEMPTS });
  const { rows } = await stage.db.query(
    `SELECT stream, sequence::int, event_id, subject, key, type, headers, convert_from(payload, 'UTF8') AS payload, state, outcome
       FROM postcommit.dead_letters WHERE consumer = $1`,
    [scene.durable],
  );
  expectSame('the dead letter', {
    seen: rows,
    expected: [
      {
        ...{ stream: stage.stream, sequence, event_id: id, subject, key: 'k', type: 't' },
        ...{ headers: { 'X-Own': 'o' }, payload: '{"a":1}', state: 'parked', outcome: 'failed' },
      },
    ],
  });
  const inbox = await stage.db.query('SELECT event_id FROM postcommit.inbox WHERE consumer = $1', [
    scene.durable,
  ]);
  expectSame('the inbox', { seen: inbox.rows, expected: [{ event_id: id }] });
  await failure.over();
}

/** The first event has a copy behind the others: the stream can still deliver that. */
async function prunes(stage: Stage): Promise<void> {
  const scene = await openScene(stage);
  const ids: readonly string[] = [randomUUID(), randomUUID(), randomUUID()];
  const sequences: number[] = [];
  await using driver = await scene.consume();
  for (const id of [...ids, ids[0] ?? ''])
    sequences.push(
      await scene.publish({ subject: scene.subject('old'), headers: { 'Postcommit-Event-Id': id } }),
    );
  await scene.settled(sequences.at(-1) ?? 0);
  const prune = (olderThanSeconds: number) =>
    driver.do({ do: 'prune', stream: stage.stream, durable: scene.durable, olderThanSeconds });
  const left = async () => {
    const text = 'SELECT event_id FROM postcommit.inbox WHERE consumer = $1';
    const { rows } = await stage.db.query<{ event_id: string }>(text, [scene.durable]);
    return rows.map(({ event_id: id }) => ids.indexOf(id) + 1).sort();
  };
  await prune(0);
  expectSame('events in the inbox while the stream holds all of them', {
    seen: await left(),
    expected: [1, 2, 3],
  });
  await stage.manager.streams.purge(stage.stream, { seq: sequences[2] ?? 0 });
  await prune(3_600);
  expectSame('events in the inbox that are younger than it is to remember', {
    seen: await left(),
    expected: [1, 2, 3],
  });
  const { pruned } = await prune(0);
  expectSame('events in the inbox whose messages are there', { seen: await left(), expected: [1, 3] });
  expectSame('"pruned" to be', { seen: pruned, expected: 1 });
}

/** Longer than anybody waits here: what a client keeps would be missed. */
const LONG_ACK_WAIT_MS = 60_000;

async function stops(stage: Stage): Promise<void> {
  const scene = await openScene(stage, { ackWaitMs: LONG_ACK_WAIT_MS });
  const publish = () =>
    scene.publish({ subject: scene.subject('stop'), headers: { 'Postcommit-Event-Id': randomUUID() } });
  await using stopped = await scene.consume();
  for (let i = 0; i < 20; i++) await publish();
  await scene.effect(1);
  await stopped.do({ do: 'stop' });
  const atStop = (await scene.effects()).length;
  const last = await publish();
  await using _next = await scene.consume();
  await eventually(
    'another instance to be handed what a stopped one had not done',
    async () => (await scene.progress()).settledTo >= last,
    {
      seen: async () =>
        `the durable says ${JSON.stringify(await scene.progress())}; effects: ${atStop} when it had stopped, ${(await scene.effects()).length} now`,
    },
  );
  expectSame('effects', { seen: (await scene.effects()).length, expected: 21 });
}

/** The grants of docs/roles-and-privileges.md, and what the effect needs. */
const GRANTS = `
  GRANT USAGE ON SCHEMA postcommit, conformance TO $role;
  GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA conformance TO $role;
  GRANT USAGE ON ALL SEQUENCES IN SCHEMA conformance TO $role;
  GRANT SELECT, INSERT, UPDATE (sequence), DELETE ON postcommit.inbox TO $role;
  GRANT SELECT, INSERT, UPDATE ON postcommit.consumer_leases TO $role;
  GRANT SELECT, INSERT, UPDATE, DELETE ON postcommit.consumer_failures, postcommit.dead_letters TO $role;
  GRANT EXECUTE ON FUNCTION postcommit.max_payload, postcommit.inbox_record, postcommit.inbox_prune TO $role;`;

async function needsLittle(stage: Stage): Promise<void> {
  await using role = await createScratchRole(stage, GRANTS);
  const scene = await openScene(stage);
  const subject = scene.subject('hopeless');
  const failure = await failing(stage, subject);
  await using _driver = await scene.consume({ databaseUrl: role.databaseUrl, maxAttempts: 1 });
  const headers = { 'Postcommit-Event-Id': randomUUID() };
  const [one, copy] = [scene.subject('one'), scene.subject('copy')];
  await scene.publish({ subject: one, headers });
  await scene.publish({ subject: copy, headers });
  await scene.settled(await scene.publish({ subject, headers: { 'Postcommit-Event-Id': randomUUID() } }));
  // Whether the copy had one too is P-C6's.
  expectSame('the first effect to be of', { seen: (await scene.effects())[0]?.subject, expected: one });
  await failure.over();
}
