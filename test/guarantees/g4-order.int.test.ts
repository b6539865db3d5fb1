import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { sleep } from '../../src/lifecycle/abort.ts';
import { FAITHFUL, insertEvents, type Outbox, openOutbox, runWriters } from '../support/outbox-harness.ts';
import { query } from '../support/query.ts';
import { scratchName } from '../support/services.ts';

let outbox: Outbox;
beforeEach(async () => {
  outbox = await openOutbox();
});
afterEach(() => outbox?.[Symbol.asyncDispose]());

/** What a relay without this library would do: `position > last`. Returns how to stop it, and what it saw. */
function pollNaively(client: pg.Client): () => Promise<number> {
  const stop = new AbortController();
  let last = 0;
  let seen = 0;
  const poll = async () => {
    const { rows } = await client.query(
      'select position::int from postcommit.outbox where position > $1 order by position',
      [last],
    );
    seen += rows.length;
    last = rows.at(-1)?.position ?? last;
  };
  const polling = (async () => {
    while (!stop.signal.aborted) {
      await poll();
      await sleep(2, stop.signal);
    }
  })();
  return async () => {
    stop.abort();
    await polling;
    await poll();
    return seen;
  };
}

describe('G1, G2, G4: positions are drawn in another order than transactions commit', () => {
  test('8 writers, a fifth of them rolled back: nothing skipped, invented or doubled, each key in its order; a plain cursor skips', async () => {
    await outbox.startRelay();
    const stopNaive = pollNaively(await outbox.connect());
    await runWriters(outbox, { writers: 8, events: 1_875, pauseMs: 2, rollbackShare: 0.2 });
    const naive = await stopNaive();
    await outbox.untilDrained();
    expect(await outbox.compare()).toEqual({ committed: 15_000, ...FAITHFUL });
    expect(naive).toBeLessThan(15_000);
  });

  test('rollbacks, savepoints and exception blocks leave nothing, what surrounds them arrives in order', async () => {
    await outbox.startRelay();
    const client = await outbox.connect();
    const insert = (name: string) => insertEvents(client, outbox.subject, 2, name);
    await client.query('begin');
    await insert('rolled back');
    await client.query('rollback');
    await client.query('begin');
    await insert('before');
    await client.query('savepoint one');
    await insert('in a savepoint rolled back');
    await client.query('rollback to one');
    await insert('between');
    await client.query('savepoint two');
    await insert('in a savepoint released');
    await client.query('release two');
    await client.query('savepoint three');
    await client.query('select 1 / 0').catch(() => undefined);
    await client.query('rollback to three');
    await insert('after');
    await client.query('commit');
    await client.query(`do $$ begin
      perform postcommit.enqueue('${outbox.subject}', '"around 1"');
      for i in 1..50 loop
        begin
          perform postcommit.enqueue('${outbox.subject}', '"caught"');
          raise exception 'no';
        exception when others then null;
        end;
      end loop;
      perform postcommit.enqueue('${outbox.subject}', '"around 2"');
    end $$`);
    await client.query('begin');
    await insert('in a failed transaction');
    await client.query('select 1 / 0').catch(() => undefined);
    await client.query('commit');
    await insert('last');
    const expected = ['before', 'between', 'in a savepoint released', 'after'].flatMap((name) => [
      `${name} 1`,
      `${name} 2`,
    ]);
    await outbox.untilDrained();
    const payloads = (await outbox.messages()).map(({ payload }) => payload);
    expect(payloads).toEqual([...expected, '"around 1"', '"around 2"', 'last 1', 'last 2']);
    expect(await outbox.compare()).toEqual({ committed: payloads.length, ...FAITHFUL });
  });
});

/** Those of rollbacks, while whoever the test names is still there: the log says that nothing below is open. */
async function untilGapsAreClosed(): Promise<void> {
  const client = await outbox.connect();
  const isOpen = async () => {
    await insertEvents(client, outbox.subject, 1);
    await outbox.untilDrained();
    const { rows } = await client.query(
      'select open_from <= read_to as open from postcommit.batches order by batch desc limit 1',
    );
    return rows[0].open;
  };
  await expect.poll(isOpen, { timeout: 5_000 }).toBe(false);
}

describe('G8: an open transaction delays only its own events', () => {
  test.for([1, 500])('one that holds %i events while others flow', async (size) => {
    await outbox.startRelay();
    const open = await outbox.connect();
    await open.query('begin');
    await insertEvents(open, outbox.subject, size, 'held');
    await runWriters(outbox, { writers: 4, events: 500, pauseMs: 1, rollbackShare: 0.1 });
    await outbox.untilStored(2_000);
    const flowed = await outbox.messages();
    expect(flowed.filter(({ key }) => key === '')).toEqual([]);
    await open.query('commit');
    await outbox.untilDrained();
    expect(await outbox.compare()).toEqual({ committed: 2_000 + size, ...FAITHFUL });
  });

  test('one of thousands of events, written between those of others, whose transactions are long and short', async () => {
    await outbox.startRelay();
    const bulk = await outbox.connect();
    await bulk.query('begin');
    const inserting = bulk.query(`do $$ begin
      for i in 1..4000 loop
        insert into postcommit.outbox (subject, payload) values ('${outbox.subject}', convert_to('bulk ' || i, 'UTF8'));
        perform pg_sleep(0.0002);
      end loop;
    end $$`);
    await Promise.all([
      runWriters(outbox, { writers: 6, events: 700, pauseMs: 2, rollbackShare: 0.1 }),
      inserting,
    ]);
    await outbox.untilStored(4_200);
    expect((await outbox.messages()).filter(({ key }) => key === '')).toEqual([]);
    await bulk.query('commit');
    await outbox.untilDrained();
    expect(await outbox.compare()).toEqual({ committed: 8_200, ...FAITHFUL });
    const ofBulk = (await outbox.messages()).filter(({ key }) => key === '');
    expect(ofBulk.map(({ payload }) => payload)).toEqual(
      Array.from({ length: 4_000 }, (_, i) => `bulk ${i + 1}`),
    );
  });

  test('one elsewhere, with an id, a snapshot and locks of its own', async () => {
    await outbox.startRelay();
    const elsewhere = await outbox.connect();
    await elsewhere.query('create table other (a int)');
    await elsewhere.query('begin isolation level repeatable read');
    await elsewhere.query('insert into other values (1)');
    await runWriters(outbox, { writers: 4, events: 250, pauseMs: 1, rollbackShare: 0.3 });
    await outbox.untilStored(1_000);
    await untilGapsAreClosed();
    const { rows } = await elsewhere.query(
      'select count(*)::int as n, pg_current_xact_id_if_assigned() is not null as has_id from other',
    );
    expect(rows).toEqual([{ n: 1, has_id: true }]);
    await elsewhere.query('rollback');
    const comparison = await outbox.compare();
    expect(comparison).toEqual({ committed: comparison.committed, ...FAITHFUL });
  });

  test('one that has inserted nothing, and one in a copy of this database: neither keeps a gap open', async () => {
    const copy = new URL(outbox.url);
    copy.pathname = `/${scratchName('postcommit_copy')}`;
    const server = inject('databaseUrl');
    await query(
      server,
      `create database ${copy.pathname.slice(1)} template ${new URL(outbox.url).pathname.slice(1)}`,
    );
    try {
      const inCopy = await outbox.connect({ url: copy.href });
      await inCopy.query('begin');
      await insertEvents(inCopy, outbox.subject, 1);
      const idle = await outbox.connect();
      await idle.query('begin');
      await insertEvents(idle, outbox.subject, 0);
      await outbox.startRelay();
      await runWriters(outbox, { writers: 4, events: 100, pauseMs: 1, rollbackShare: 0.5 });
      await outbox.untilDrained();
      await untilGapsAreClosed();
      const comparison = await outbox.compare();
      expect(comparison).toEqual({ committed: comparison.committed, ...FAITHFUL });
    } finally {
      await query(server, `drop database ${copy.pathname.slice(1)} with (force)`);
    }
  });
});
