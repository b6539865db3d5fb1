import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consume } from '../../src/consumer/index.ts';
import type { EmbeddedNats } from '../../src/embedded/index.ts';
import { runCli, startCli } from '../support/cli.ts';
import { query } from '../support/query.ts';
import { openRoleStage, ROLES_PAGE, type RoleStage } from '../support/roles.ts';
import { startNats } from '../support/services.ts';
import { sampleMarked } from './pages.ts';

let stage: RoleStage;
let nats: EmbeddedNats;
beforeAll(async () => {
  [stage, nats] = await Promise.all([
    openRoleStage(),
    startNats({ config: sampleMarked(ROLES_PAGE, 'conf', 'run').text }),
  ]);
});
afterAll(async () => {
  for (const resource of [stage, nats]) await resource?.[Symbol.asyncDispose]();
});

const as: RoleStage['as'] = (role) => stage.as(role);

function natsAs(user: string): string {
  return nats.url.replace('nats://', `nats://${user}:change-me@`);
}

test('the roles of the page are enough to write, relay, empty the outbox and consume', async () => {
  await using relay = startCli(['relay'], {
    DATABASE_URL: as('shop_relay'),
    NATS_URL: natsAs('relay'),
    NATS_INBOX_PREFIX: '_INBOX_relay',
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
    {
      nats: { servers: [natsAs('consumer')], inboxPrefix: '_INBOX_letters' },
      stream: 'postcommit',
      durable: 'letters',
      db,
    },
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
    NATS_INBOX_PREFIX: '_INBOX_relay',
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
