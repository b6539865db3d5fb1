import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consume } from '../../src/consumer/index.ts';
import type { EmbeddedNats, EmbeddedPostgres } from '../../src/embedded/index.ts';
import { runCli, startCli } from '../support/cli.ts';
import { query } from '../support/query.ts';
import { startNats, startPostgres } from '../support/services.ts';
import { sampleMarked } from './pages.ts';

const PAGE = 'docs/roles-and-privileges.md';

let postgres: EmbeddedPostgres;
let nats: EmbeddedNats;
beforeAll(async () => {
  [postgres, nats] = await Promise.all([
    startPostgres(),
    startNats({ config: sampleMarked(PAGE, 'conf', 'run').text }),
  ]);
  await query(postgres.url, 'CREATE DATABASE shop');
  await query(as('postgres'), sampleMarked(PAGE, 'sql', 'admin').text);
  expect(await runCli(['migrate'], { DATABASE_URL: as('shop_owner') })).toMatchObject({ code: 0 });
  // Where an administrator has taken away what everyone may do by default, the page's grants are still enough.
  await query(as('shop_owner'), 'REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA postcommit FROM PUBLIC');
  await query(as('shop_owner'), sampleMarked(PAGE, 'sql', 'owner').text);
});
afterAll(async () => {
  for (const server of [postgres, nats]) await server?.[Symbol.asyncDispose]();
});

function as(role: string): string {
  const url = new URL(postgres.url);
  url.pathname = '/shop';
  url.username = role;
  return url.href;
}

function natsAs(user: string): string {
  return nats.url.replace('nats://', `nats://${user}:change-me@`);
}

test('the roles of the page are enough to write, relay, empty the outbox and consume', async () => {
  await using relay = startCli(['relay'], {
    DATABASE_URL: as('shop_relay'),
    NATS_URL: natsAs('relay'),
    POSTCOMMIT_HTTP: 'off',
    POSTCOMMIT_RETENTION: '1s',
  });
  await relay.line('ready');
  await query(
    as('shop_writer'),
    `INSERT INTO postcommit.outbox (subject, payload, key) VALUES ('events.a', '1', 'k')`,
  );
  await query(as('shop_writer'), `SELECT postcommit.enqueue('events.b', '2', headers => '{"a": "b"}')`);

  const db = new pg.Pool({ connectionString: as('shop_consumer') });
  const received: string[] = [];
  const consumer = await consume(
    { nats: natsAs('consumer'), stream: 'postcommit', durable: 'letters', db },
    ({ subject }) => void received.push(subject),
  );
  await expect.poll(() => received, { timeout: 10_000 }).toEqual(['events.a', 'events.b']);
  await consumer.stop();
  await db.end();

  // Emptying takes the right to truncate. The next leaf is in use by then.
  await relay.line('segment-emptied');
  await query(as('shop_writer'), `SELECT postcommit.enqueue('events.c', '3')`);
  expect(await query(as('shop_owner'), 'SELECT subject FROM postcommit.outbox')).toEqual([['events.c']]);
});

test('the operator of the page may have events published again, look on and end it', async () => {
  await using relay = startCli(['relay'], {
    DATABASE_URL: as('shop_relay'),
    NATS_URL: natsAs('relay'),
    POSTCOMMIT_HTTP: 'off',
  });
  await relay.line('ready');
  await query(as('shop_writer'), `SELECT postcommit.enqueue('events.again', '4')`);
  const env = { DATABASE_URL: as('shop_operator') };
  const replay = (...args: string[]) => runCli(['replay', ...args], env);
  await expect
    .poll(async () => (await replay('--subject', 'events.again', '--json')).stdout, { timeout: 20_000 })
    .toContain('"finished":true,"result":{"replayed":1}');
  const asked = await replay('--subject', 'events.again', '--no-wait');
  const request = asked.stdout.replace('request ', '').trim();
  expect(await replay('--follow', request)).toMatchObject({ code: 0, stdout: '1 event published again\n' });
  expect(await replay('--cancel', request)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('is finished'),
  });
});

test.each([
  ['shop_writer', 'SELECT * FROM postcommit.outbox'],
  ['shop_writer', 'DELETE FROM postcommit.outbox'],
  ['shop_writer', `INSERT INTO postcommit.outbox (segment, subject, payload) VALUES (3, 'events.a', '')`],
  ['shop_writer', `INSERT INTO postcommit.outbox_0 (subject, payload) VALUES ('events.a', '')`],
  ['shop_writer', `SELECT nextval('postcommit.segment')`],
  ['shop_writer', `SELECT nextval('postcommit.outbox_position_seq')`],
  ['shop_relay', 'DELETE FROM postcommit.outbox'],
  ['shop_relay', `INSERT INTO postcommit.outbox (subject, payload) VALUES ('events.a', '')`],
  ['shop_operator', `INSERT INTO postcommit.outbox (subject, payload) VALUES ('events.a', '')`],
  ['shop_operator', 'UPDATE postcommit.requests SET finished_at = now()'],
  ['shop_operator', `INSERT INTO postcommit.requests (kind, requested_by) VALUES ('audit', 'somebody else')`],
  ['shop_operator', 'DELETE FROM postcommit.dead_letters'],
  ['shop_consumer', 'UPDATE postcommit.inbox SET event_id = sequence'],
  ['shop_consumer', 'SELECT * FROM postcommit.outbox'],
  ['shop_operator', 'UPDATE postcommit.dead_letters SET attempts = 0'],
  ['shop_consumer', `INSERT INTO postcommit.outbox (subject, payload) VALUES ('events.a', '')`],
])('%s may not: %s', async (role, statement) => {
  await expect(query(as(role), statement)).rejects.toThrow('permission denied');
});
