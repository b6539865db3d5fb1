import { afterEach, beforeEach, expect, test } from 'vitest';
import { FAITHFUL, insertEvents, type Outbox, openOutbox } from '../support/outbox-harness.ts';

let outbox: Outbox;
beforeEach(async () => {
  outbox = await openOutbox();
});
afterEach(() => outbox?.[Symbol.asyncDispose]());

/**
 * One INSERT ... SELECT, a row per millisecond, while inserts are pointed to other leaves. Each switch is seen by the
 * relay before the next one: an event written after it is in the stream.
 */
async function insertAcross(segments: readonly number[], rows: number): Promise<number> {
  const slow = await outbox.connect();
  const others = await outbox.connect();
  await slow.query(`create function slowly(i int) returns text language plpgsql volatile as
    $$ begin perform pg_sleep(0.001); return 'slow ' || i; end $$`);
  let ended = false;
  const inserting = slow
    .query(
      `insert into postcommit.outbox (subject, payload)
       select '${outbox.subject}', convert_to(slowly(i), 'UTF8') from generate_series(1, ${rows}) i`,
    )
    .then(() => {
      ended = true;
    });
  const untilItWrites = async () => {
    const drawn = async () =>
      (
        await others.query(
          "select coalesce(pg_sequence_last_value('postcommit.outbox_position_seq'), 0)::int as n",
        )
      ).rows[0].n;
    const before = await drawn();
    await expect.poll(drawn, { interval: 2 }).toBeGreaterThan(before);
  };
  let switches = 0;
  await untilItWrites();
  for (const segment of segments) {
    await others.query(`select setval('postcommit.segment', ${segment})`);
    await insertEvents(others, outbox.subject, 3, `in ${segment}`);
    switches++;
    await outbox.untilStored(3 * switches);
    await untilItWrites();
  }
  expect(ended, 'the statement ended before the last switch').toBe(false);
  await inserting;
  return rows + 3 * switches;
}

async function leavesOfSlowRows(): Promise<number[]> {
  const client = await outbox.connect();
  const { rows } = await client.query(
    `select distinct segment from postcommit.outbox where convert_from(payload, 'UTF8') like 'slow%' order by segment`,
  );
  return rows.map(({ segment }) => segment);
}

test('G1: one INSERT ... SELECT running across two rotations of the ring loses nothing', async () => {
  await outbox.startRelay();
  const committed = await insertAcross([1, 2], 1_000);
  await outbox.untilDrained();
  expect(await outbox.compare()).toEqual({ committed, ...FAITHFUL });
  expect(await leavesOfSlowRows()).toEqual([0, 1, 2]);
  const slow = (await outbox.messages()).filter(({ payload }) => payload.startsWith('slow'));
  expect(slow.map(({ payload }) => payload)).toEqual(
    Array.from({ length: 1_000 }, (_, i) => `slow ${i + 1}`),
  );
});

test('G1: nor does one across switches by a stranger`s hand, to and fro', async () => {
  await outbox.startRelay();
  const committed = await insertAcross([5, 3, 5, 0], 1_500);
  await outbox.untilDrained();
  expect(await outbox.compare()).toEqual({ committed, ...FAITHFUL });
  expect(await leavesOfSlowRows()).toEqual([0, 3, 5]);
});

test('G1: a relay that starts while a statement runs in a leaf that inserts have left reads that leaf too', async () => {
  const client = await outbox.connect();
  const other = await outbox.connect();
  await other.query(`select setval('postcommit.segment', 6)`);
  await client.query('begin');
  await insertEvents(client, outbox.subject, 5, 'in 6');
  await other.query(`select setval('postcommit.segment', 2)`);
  await insertEvents(other, outbox.subject, 5, 'in 2');
  await outbox.startRelay();
  await outbox.untilStored(5);
  await client.query('commit');
  await outbox.untilDrained();
  expect(await outbox.compare()).toEqual({ committed: 10, ...FAITHFUL });
});

test('G1: a switch to another leaf and back that no look sees loses nothing, nor does an insert straight into a leaf', async () => {
  await outbox.startRelay();
  const client = await outbox.connect();
  const open = await outbox.connect();
  await insertEvents(client, outbox.subject, 5, 'before');
  await outbox.untilStored(5);
  await open.query('begin');
  for (let i = 0; i < 20; i++) {
    // In one message: nobody looks in between, but by chance.
    await (i % 2 === 0 ? client : open).query(
      `select setval('postcommit.segment', ${1 + (i % 7)});
       insert into postcommit.outbox (subject, payload) values ('${outbox.subject}', 'elsewhere ${i}');
       select setval('postcommit.segment', 0);`,
    );
    await insertEvents(client, outbox.subject, 1, `in place ${i}`);
  }
  await client.query(
    `insert into postcommit.outbox_6 (position, segment, subject, payload) overriding system value
     values (nextval('postcommit.outbox_position_seq'), 6, '${outbox.subject}', 'straight')`,
  );
  await insertEvents(client, outbox.subject, 1, 'behind it');
  await outbox.untilStored(37); // The transaction that stays open holds up its own events alone.
  await open.query('commit');
  await outbox.untilDrained();
  expect(await outbox.compare()).toEqual({ committed: 47, ...FAITHFUL });
});
