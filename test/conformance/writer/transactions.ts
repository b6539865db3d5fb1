import type { Stage } from '../stage.ts';
import { eventually, expectSame, NotApplicable, type Rule } from '../verdict.ts';
import { aggregateValue, expectPublished, idOf } from './written.ts';

/** The event becomes true with its transaction. */
export const TRANSACTIONS: readonly Rule<Stage>[] = [
  {
    id: 'P-W1',
    about: 'the change and its event are one transaction: committed, both are there',
    check: commits,
  },
  { id: 'P-W2', about: 'rolled back, neither is', check: rollsBack },
  { id: 'P-W3', about: 'a rolled back savepoint takes its events along, and no others', check: savepoint },
  {
    id: 'P-W8',
    about: 'events of one transaction keep the order in which they were enqueued',
    check: keepsOrder,
  },
  { id: 'P-W11', about: 'the aggregate is locked before its event is enqueued', check: locksFirst },
  { id: 'P-W12', about: 'a transaction that is to be prepared notifies nobody', check: prepares },
];

async function commits(stage: Stage): Promise<void> {
  await using driver = stage.drive();
  const subject = stage.subject('committed');
  await driver.do({ do: 'begin' });
  await driver.do({ do: 'change', aggregate: 'w1', value: 'changed', event: { subject, payload: {} } });
  expectSame('before the COMMIT others to see', { seen: await aggregateValue(stage, 'w1'), expected: null });
  await expectPublished(stage, []);
  await driver.do({ do: 'commit' });
  expectSame('after the COMMIT the change to be', {
    seen: await aggregateValue(stage, 'w1'),
    expected: 'changed',
  });
  await expectPublished(stage, [subject]);
}

async function rollsBack(stage: Stage): Promise<void> {
  await using driver = stage.drive();
  const subject = stage.subject('rolled-back');
  await driver.do({ do: 'begin' });
  await driver.do({ do: 'change', aggregate: 'w2', value: 'changed', event: { subject, payload: {} } });
  await driver.do({ do: 'enqueue', event: { subject, payload: {} } });
  await driver.do({ do: 'rollback' });
  expectSame('after the ROLLBACK the change to be', {
    seen: await aggregateValue(stage, 'w2'),
    expected: null,
  });
  await expectPublished(stage, []);
}

async function savepoint(stage: Stage): Promise<void> {
  await using driver = stage.drive();
  const [before, within, after] = ['before', 'within', 'after'].map((name) => stage.subject(name));
  const enqueue = (subject = '') => driver.do({ do: 'enqueue', event: { subject, payload: {} } });
  await driver.do({ do: 'begin' });
  await enqueue(before);
  await driver.do({ do: 'savepoint', name: 'here' });
  await enqueue(within);
  await driver.do({ do: 'rollback to', name: 'here' });
  await enqueue(after);
  await driver.do({ do: 'commit' });
  await expectPublished(stage, [before ?? '', after ?? '']);
}

async function keepsOrder(stage: Stage): Promise<void> {
  await using driver = stage.drive();
  const subjects = Array.from({ length: 20 }, (_, i) => stage.subject(`in-order-${i}`));
  const ids: (string | undefined)[] = [];
  await driver.do({ do: 'begin' });
  for (const subject of subjects) {
    const { id } = await driver.do({ do: 'enqueue', event: { subject, key: 'w8', payload: {} } });
    ids.push(id);
  }
  await driver.do({ do: 'commit' });
  const messages = await expectPublished(stage, subjects);
  expectSame('the answers to name the events', { seen: ids, expected: messages.map(idOf) });
}

/**
 * Two writers of one aggregate. The second, who waits for the row, must not have drawn a position yet: the first writes
 * another event meanwhile, which comes before all that the second has to say.
 */
async function locksFirst(stage: Stage): Promise<void> {
  await using first = stage.drive();
  await using second = stage.drive();
  const [a1, a2, b] = ['first-1', 'first-2', 'second'].map((name) => stage.subject(name));
  const change = (value: string, subject = '') =>
    ({ do: 'change', aggregate: 'w11', value, event: { subject, key: 'w11', payload: {} } }) as const;
  await first.do({ do: 'begin' });
  await first.do(change('a1', a1));
  await second.do({ do: 'begin' });
  const waits = second.do(change('b', b));
  waits.catch(() => undefined);
  await eventually('the second writer to wait for the row', () => someoneWaits(stage), {
    seen: () => 'it waits for none: it does not lock what it changes',
  });
  await first.do(change('a2', a2));
  await first.do({ do: 'commit' });
  await waits;
  await second.do({ do: 'commit' });
  // By position, which is the order of what a relay finds committed; it may as well have seen some of it earlier.
  const { rows } = await stage.db.query<{ subject: string }>(
    'SELECT subject FROM postcommit.outbox WHERE key = $1 ORDER BY position',
    ['w11'],
  );
  expectSame('the events in the order of the changes', {
    seen: rows.map(({ subject }) => subject),
    expected: [a1, a2, b],
  });
  expectSame('the aggregate to be', { seen: await aggregateValue(stage, 'w11'), expected: 'b' });
}

async function someoneWaits({ db }: Stage): Promise<boolean> {
  const { rows } = await db.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return rows.length > 0;
}

/** While the relay sleeps: awake, it wants no notification from anybody, and nothing would be seen. */
async function prepares(stage: Stage): Promise<void> {
  const { db } = stage;
  const { rows } = await db.query<{ most: string }>(
    `SELECT current_setting('max_prepared_transactions') AS most`,
  );
  if (rows[0]?.most === '0') throw new NotApplicable('the server has max_prepared_transactions = 0');
  await using driver = stage.drive();
  const subject = stage.subject('prepared');
  const name = stage.stream;
  await driver.do({ do: 'begin', twoPhase: true });
  await isParked(stage);
  await driver.do({ do: 'enqueue', event: { subject, payload: {} } });
  await driver.do({ do: 'prepare', name });
  try {
    await expectPublished(stage, []);
    await db.query(`COMMIT PREPARED '${name}'`);
  } catch (error) {
    await db.query(`ROLLBACK PREPARED '${name}'`).catch(() => undefined);
    throw error;
  }
  await expectPublished(stage, [subject]);
}

async function isParked({ db }: Stage): Promise<void> {
  const look = async () => {
    const { rows } = await db.query<{ parked: boolean }>(
      `SELECT to_timestamp(pg_sequence_last_value('postcommit.parked_until')) > clock_timestamp() + interval '1 s' AS parked`,
    );
    return rows[0]?.parked === true;
  };
  await eventually('', look, { seen: () => '' }).catch(() => {
    throw new NotApplicable('the relay does not sleep on this server, so that nobody would notify it');
  });
}
