import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedNats, EmbeddedPostgres } from '../../src/embedded/index.ts';
import { startTcpProxy } from '../../src/testing/index.ts';
import { openStage, type Stage } from '../guarantees/stage.ts';
import { natsServerOf } from '../support/nats-server-versions.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import { query } from '../support/query.ts';
import { scratchName, startNats, startPostgres } from '../support/services.ts';
import { withDatabase } from '../support/with-database.ts';
import {
  type Fault,
  faultsAmong,
  findingsOf,
  optionsFor,
  type Planted,
  proveFound,
  relayed,
} from './fault.ts';
import { relayGrants } from './roles.ts';

let postgres: EmbeddedPostgres;
let nats: EmbeddedNats;
beforeAll(async () => {
  // The server of the run has known defects, which would be found.
  const { path: binary } = await natsServerOf('2.15.1');
  [postgres, nats] = await Promise.all([
    startPostgres({ settings: { wal_level: 'logical', max_prepared_transactions: '4' } }),
    startNats({ binary }),
  ]);
});
afterAll(async () => {
  for (const server of [postgres, nats]) await server?.[Symbol.asyncDispose]();
});

const FAULTS: readonly Fault[] = [
  {
    fault: 'nobody listens where DATABASE_URL leads',
    check: 'postgres-connection',
    severity: 'problem',
    found: /^cannot connect to PostgreSQL at 127\.0\.0\.1:1, /,
    fix: ['Check that the server runs and that DATABASE_URL names the right host'],
    plant: (stage) => at(stage, (url) => url.replace(/:\d+\//, ':1/')),
  },
  {
    fault: 'DATABASE_URL names a database that is not there',
    check: 'postgres-connection',
    severity: 'problem',
    found: /database "nowhere" does not exist/,
    fix: ['Create the database, or correct its name in DATABASE_URL'],
    plant: (stage) => at(stage, (url) => withDatabase(url, 'nowhere')),
  },
  {
    fault: 'the role may open three connections',
    check: 'postgres-connection',
    severity: 'problem',
    found: /^only 2 more connections are possible \(the CONNECTION LIMIT of the role is 3\)/,
    fix: ['ALTER ROLE limited', 'CONNECTION LIMIT 13;'],
    plant: (stage) => asRole(stage, 'limited', 'login connection limit 3 in role postgres'),
  },
  {
    fault: 'the database takes three connections',
    check: 'postgres-connection',
    severity: 'problem',
    found: /the CONNECTION LIMIT of the database is 3/,
    fix: ['ALTER DATABASE', 'CONNECTION LIMIT 13;'],
    async plant(stage) {
      await query(stage.databaseUrl, `alter database ${databaseOf(stage)} connection limit 3`);
      return asRole(stage, 'ordinary', 'login in role postgres');
    },
  },
  {
    fault: 'writing is switched off for the database',
    check: 'postgres-primary',
    severity: 'problem',
    found: /^transactions are read-only by default/,
    fix: ['ALTER DATABASE', 'RESET default_transaction_read_only;'],
    plant: (stage) =>
      sql(stage, `alter database ${databaseOf(stage)} set default_transaction_read_only = on`),
  },
  {
    fault: 'writing is switched off for the server',
    check: 'postgres-primary',
    severity: 'problem',
    found: /^transactions are read-only by default/,
    fix: ['ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf();'],
    plant: () => serverSetting('default_transaction_read_only', 'on'),
  },
  {
    fault: 'a subscription writes the tables',
    check: 'postgres-primary',
    severity: 'problem',
    found: /^the subscription copies_\w+ writes outbox_0, /,
    fix: ['Run the relay at the publisher'],
    async plant(stage) {
      const name = scratchName('copies');
      const source = `host=127.0.0.1 port=${postgres.port} user=postgres dbname=${databaseOf(stage)}`;
      await query(stage.databaseUrl, `create publication ${name} for table postcommit.outbox`);
      await query(stage.databaseUrl, `select pg_create_logical_replication_slot('${name}', 'pgoutput')`);
      // Onto itself: nothing is copied, and the catalog says what it has to.
      await query(
        stage.databaseUrl,
        `create subscription ${name} connection '${source}' publication ${name} with (create_slot = false, copy_data = false)`,
      );
      return {
        async undo() {
          await query(stage.databaseUrl, `alter subscription ${name} disable`);
          await query(stage.databaseUrl, `drop subscription ${name}`);
        },
      };
    },
  },
  {
    fault: 'the database is not in UTF8',
    check: 'postgres-primary',
    severity: 'problem',
    found: /has the encoding LATIN1/,
    fix: ['Create the database with ENCODING UTF8'],
    also: ['migrations'],
    plant: (stage) => otherDatabase(stage, "encoding 'LATIN1' locale 'C' template template0"),
  },
  {
    fault: 'the database was never migrated',
    check: 'migrations',
    severity: 'problem',
    found: /has no schema postcommit$/,
    fix: ['postcommit migrate'],
    plant: (stage) => otherDatabase(stage, ''),
  },
  {
    fault: 'the newest migration is missing',
    check: 'migrations',
    severity: 'problem',
    found: /^the database lacks the migration 0\d{3}_/,
    fix: ['postcommit migrate'],
    plant: (stage) =>
      sql(
        stage,
        'delete from postcommit.migrations where created_at = (select max(created_at) from postcommit.migrations)',
      ),
  },
  {
    fault: 'the database is newer than the code',
    check: 'migrations',
    severity: 'warning',
    found: /is newer than this version of postcommit/,
    fix: ['Use the version of postcommit that migrated it, or a later one'],
    plant: (stage) =>
      sql(stage, `insert into postcommit.migrations (hash, created_at) values ('x', 4102444800000)`),
  },
  {
    fault: 'a privilege of the relay was revoked',
    check: 'privileges',
    severity: 'problem',
    found: /lacks TRUNCATE on postcommit\.outbox_3$/,
    fix: ['GRANT TRUNCATE ON TABLE postcommit.outbox_3 TO poorer'],
    async plant(stage) {
      const planted = await asRole(stage, 'poorer', 'login');
      const role = planted.role;
      await query(
        stage.databaseUrl,
        `${relayGrants(role)}; revoke truncate on postcommit.outbox_3 from ${role}`,
      );
      return planted;
    },
  },
  {
    fault: 'the role has no privileges at all',
    check: 'privileges',
    severity: 'problem',
    found: /may not look into the schema "postcommit"/,
    fix: ['docs/roles-and-privileges.md', 'USAGE on the schema'],
    also: ['migrations'],
    plant: (stage) => asRole(stage, 'stranger', 'login'),
  },
  {
    fault: 'DATABASE_URL leads through PgBouncer',
    check: 'pooler',
    severity: 'warning',
    found: /goes through a connection pooler/,
    fix: ['a DATABASE_URL that names PostgreSQL itself'],
    async plant(stage) {
      const bouncer = await startPgBouncer({ port: postgres.port });
      return {
        options: { databaseUrl: () => bouncer.urlOf(stage.databaseUrl) },
        undo: () => bouncer[Symbol.asyncDispose](),
      };
    },
  },
  {
    fault: 'the trigger that wakes the relay is disabled',
    check: 'listen',
    severity: 'problem',
    found: /trigger wake_relay is disabled/,
    fix: ['ALTER TABLE postcommit.outbox ENABLE ALWAYS TRIGGER wake_relay;'],
    plant: (stage) => sql(stage, 'alter table postcommit.outbox disable trigger wake_relay'),
  },
  {
    fault: 'the trigger that wakes the relay was dropped',
    check: 'listen',
    severity: 'problem',
    found: /has no trigger wake_relay/,
    fix: ['CREATE TRIGGER wake_relay AFTER INSERT ON postcommit.outbox', 'ENABLE ALWAYS'],
    plant: (stage) => sql(stage, 'drop trigger wake_relay on postcommit.outbox'),
  },
  {
    fault: 'something on the way swallows notifications',
    check: 'listen',
    severity: 'problem',
    found: /a notification never came back/,
    fix: ['a DATABASE_URL that names PostgreSQL itself'],
    async plant(stage) {
      const proxy = await startTcpProxy({
        port: postgres.port,
        tap: (_, direction, bytes) => swallowNotification(direction, bytes),
      });
      return {
        options: { databaseUrl: () => proxy.through(stage.databaseUrl), timeLimitMs: 3_000 },
        undo: () => proxy[Symbol.asyncDispose](),
      };
    },
  },
  {
    fault: 'a role of writers commits without waiting for the disk',
    check: 'synchronous-commit',
    severity: 'warning',
    found: /^synchronous_commit is off for the role hasty_/,
    fix: ['ALTER ROLE hasty_', 'RESET synchronous_commit;'],
    async plant(stage) {
      const { role, undo } = await asRole(stage, 'hasty', 'login');
      await query(stage.databaseUrl, `alter role ${role} set synchronous_commit = off`);
      await query(stage.databaseUrl, `grant insert (subject, payload) on postcommit.outbox to ${role}`);
      return { undo };
    },
  },
  {
    fault: 'the whole server commits without waiting for the disk',
    check: 'synchronous-commit',
    severity: 'warning',
    found: /^synchronous_commit is off for the whole server/,
    fix: ['ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf();'],
    plant: () => serverSetting('synchronous_commit', 'off'),
  },
  {
    fault: 'nothing is flushed to disk',
    check: 'synchronous-commit',
    severity: 'problem',
    found: /^fsync is off/,
    fix: ['ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();'],
    plant: () => serverSetting('fsync', 'off'),
  },
  {
    fault: 'commits wait for a standby that is not there',
    check: 'synchronous-standby',
    severity: 'problem',
    found: /synchronous_standby_names is 'nowhere', and no such standby is connected/,
    fix: ["ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf();"],
    plant: () => serverSetting('synchronous_standby_names', 'nowhere'),
  },
  {
    fault: 'positions are drawn in advance',
    check: 'position-sequence',
    severity: 'problem',
    found: /has CACHE 20/,
    fix: ['ALTER SEQUENCE postcommit.outbox_position_seq CACHE 1'],
    plant: (stage) => sql(stage, 'alter sequence postcommit.outbox_position_seq cache 20'),
  },
  {
    fault: 'the position sequence was set back',
    check: 'position-sequence',
    severity: 'problem',
    found: /^the sequence stands at 0, and the log has read up to 5/,
    fix: ["SELECT setval('postcommit.outbox_position_seq', 1000005);", 'postcommit audit'],
    async plant(stage) {
      await relayed(stage, 5);
      return sql(stage, 'alter sequence postcommit.outbox_position_seq restart');
    },
  },
  {
    fault: 'a session is idle in a transaction that wrote events',
    check: 'old-transactions',
    severity: 'problem',
    found: /\(billing\) is idle in a transaction since .*, and may have written events/,
    fix: ['SELECT pg_terminate_backend(', "SET idle_in_transaction_session_timeout = '60s';"],
    plant: (stage) =>
      holding(stage, [`insert into postcommit.outbox (subject, payload) values ('${stage.subject}', '')`]),
  },
  {
    fault: 'a session keeps an old snapshot',
    check: 'old-transactions',
    severity: 'warning',
    found: /\(billing\) is idle in a transaction since \d+/,
    fix: ['SELECT pg_terminate_backend('],
    plant: (stage) => holding(stage, ['set transaction isolation level repeatable read', 'select 1']),
  },
  {
    fault: 'a prepared transaction that wrote events was forgotten',
    check: 'old-transactions',
    severity: 'problem',
    found:
      /^the prepared transaction 'forgotten' of postgres has been waiting since .*, and may have written events/,
    fix: ["COMMIT PREPARED 'forgotten'; or ROLLBACK PREPARED"],
    async plant(stage) {
      const holder = await holding(stage, [
        `insert into postcommit.outbox (subject, payload) values ('${stage.subject}', '')`,
        "prepare transaction 'forgotten'",
      ]);
      await holder.undo();
      return { ...holder, undo: () => query(stage.databaseUrl, "rollback prepared 'forgotten'") };
    },
  },
  {
    fault: 'notifications are switched off for the database',
    check: 'notification-queue',
    severity: 'warning',
    found: /^postcommit\.notify is off for the whole database/,
    fix: ['ALTER DATABASE', 'RESET postcommit.notify;'],
    plant: (stage) => sql(stage, `alter database ${databaseOf(stage)} set postcommit.notify = off`),
  },
  {
    fault: 'a dump keeps an old segment from being emptied',
    check: 'outbox-segments',
    severity: 'warning',
    found: /^segment 0 \(.*\) should be empty: its newest event is 3 d old/,
    fix: ['Let it end, or: SELECT pg_terminate_backend('],
    async plant(stage) {
      await leaveOldSegment(stage);
      return {
        ...(await holding(stage, ['lock table postcommit.outbox_0 in access share mode'])),
        options: {},
      };
    },
  },
  {
    fault: 'an old segment is not emptied, and nobody is in the way',
    check: 'outbox-segments',
    severity: 'warning',
    found: /^segment 0 \(.*\) should be empty/,
    fix: ['postcommit audit', 'segment-unsettled'],
    async plant(stage) {
      await leaveOldSegment(stage);
      return undefined;
    },
  },
  {
    fault: 'somebody has locked a segment',
    check: 'outbox-segments',
    severity: 'warning',
    found: /^segment 5 is locked: nobody can read or write it/,
    fix: ['SELECT pg_terminate_backend('],
    async plant(stage) {
      return {
        ...(await holding(stage, ['lock table postcommit.outbox_5 in access exclusive mode'])),
        options: {},
      };
    },
  },
  {
    fault: 'events wait although a relay leads',
    check: 'backlog',
    severity: 'problem',
    found: /^up to 1 events are waiting to be read, the oldest since 2 h/,
    fix: ['/readyz of the leader', 'lane-paused'],
    plant: (stage) => sql(stage, oldEvent(stage)),
  },
  {
    fault: 'events wait, and the relay was stopped',
    check: 'relay-leader',
    severity: 'problem',
    found: /the last one was stopped/,
    fix: ['postcommit relay'],
    also: ['backlog'],
    plant: (stage) =>
      sql(stage, oldEvent(stage), 'update postcommit.lease set holder = null, expires_at = null'),
  },
  {
    fault: 'the leader was killed, and nobody took over',
    check: 'relay-leader',
    severity: 'problem',
    found: /^no relay leads: the lease of somebody:1 ran out 5 min ago/,
    fix: ['postcommit relay', 'term-failed'],
    plant: (stage) =>
      sql(stage, "update postcommit.lease set expires_at = clock_timestamp() - interval '5 minutes'"),
  },
  {
    fault: 'no relay was ever started',
    check: 'relay-leader',
    severity: 'warning',
    found: /^no relay has led yet/,
    fix: ['postcommit relay'],
    plant: (stage) => sql(stage, 'update postcommit.lease set epoch = 0, holder = null, expires_at = null'),
  },
  {
    fault: 'events were set aside',
    check: 'dead-letters',
    severity: 'warning',
    found: /^2 of the relay await a decision/,
    fix: ['postcommit dead-letters list --stream', 'postcommit dead-letters retry --stream'],
    plant: (stage) => sql(stage, deadLetters(stage, 2)),
  },
  {
    fault: 'so many events were set aside that the lane pauses',
    check: 'dead-letters',
    severity: 'problem',
    found: /^10,000 of the relay await a decision/,
    fix: ['postcommit dead-letters list --stream'],
    plant: (stage) => sql(stage, deadLetters(stage, 10_000)),
  },
  {
    fault: 'the clock of PostgreSQL was set back, and the lease does not end',
    check: 'clock-skew',
    severity: 'problem',
    found: /^the lease of somebody:1 runs for another 2 h/,
    fix: ['Restart that leader in order (SIGTERM)'],
    plant: (stage) =>
      sql(stage, "update postcommit.lease set expires_at = clock_timestamp() + interval '2 hours'"),
  },
  {
    fault: 'the clock of this host goes a minute ahead',
    check: 'clock-skew',
    severity: 'warning',
    found: /^the clock of PostgreSQL is 1 min behind that of this host/,
    fix: ['timedatectl set-ntp true'],
    plant: () => ({ options: { now: () => Date.now() + 60_000 } }),
  },
];

test("how a role commits that may not write events is nobody's business", async () => {
  await using stage = await openStage({ postgresUrl: postgres.url, natsUrl: nats.url });
  const { role, undo } = await asRole(stage, 'reporting', 'login');
  await query(stage.databaseUrl, `alter role ${role} set synchronous_commit = off`);
  expect(faultsAmong(await findingsOf(optionsFor(stage), ['synchronous-commit']))).toEqual([]);
  await undo();
});

test.each(FAULTS)('$check says when $fault', async (fault) => {
  await using stage = await openStage({
    postgresUrl: postgres.url,
    natsUrl: nats.url,
    config: { ...fault.config },
  });
  await proveFound(stage, fault);
});

function databaseOf({ databaseUrl }: Stage): string {
  return new URL(databaseUrl).pathname.slice(1);
}

function at({ databaseUrl }: Stage, change: (url: string) => string): Planted {
  return { options: { databaseUrl: () => change(databaseUrl) } };
}

async function sql({ databaseUrl }: Stage, ...statements: string[]): Promise<undefined> {
  for (const statement of statements) await query(databaseUrl, statement);
}

async function serverSetting(name: string, value: string): Promise<Planted> {
  await query(postgres.url, `alter system set ${name} = '${value}'`);
  await query(postgres.url, 'select pg_reload_conf()');
  return {
    async undo() {
      await query(postgres.url, `alter system reset ${name}`);
      await query(postgres.url, 'select pg_reload_conf()');
    },
  };
}

async function asRole({ databaseUrl }: Stage, prefix: string, options: string) {
  const role = scratchName(prefix);
  await query(postgres.url, `create role ${role} ${options}`);
  const url = new URL(databaseUrl);
  url.username = role;
  return {
    role,
    options: { databaseUrl: () => url.href },
    undo: () => query(databaseUrl, `drop owned by ${role}; drop role ${role}`),
  };
}

async function otherDatabase({ databaseUrl }: Stage, options: string): Promise<Planted> {
  const name = scratchName('postcommit_other');
  await query(postgres.url, `create database ${name} ${options}`);
  return {
    options: { databaseUrl: () => withDatabase(databaseUrl, name) },
    undo: () => query(postgres.url, `drop database ${name} with (force)`),
  };
}

/** A session that has run these in a transaction, and stays in it. */
async function holding({ databaseUrl }: Stage, statements: readonly string[]) {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'billing' });
  client.on('error', () => undefined);
  await client.connect();
  for (const statement of ['begin', ...statements]) await client.query(statement);
  return { options: { maxTransactionMs: 20 }, undo: () => client.end() };
}

/** Published three days ago; inserts go to the next one. */
async function leaveOldSegment(stage: Stage): Promise<void> {
  await relayed(stage, 3);
  await sql(
    stage,
    "update postcommit.outbox set created_at = clock_timestamp() - interval '3 days'",
    "select setval('postcommit.segment', 1)",
  );
}

function oldEvent({ subject }: Stage): string {
  return `insert into postcommit.outbox (subject, payload, created_at)
          values ('${subject}', 'x', clock_timestamp() - interval '2 hours')`;
}

function deadLetters({ stream, subject }: Stage, count: number): string {
  return `insert into postcommit.dead_letters (stream, position, event_id, subject, reason)
          select '${stream}', i, gen_random_uuid(), '${subject}', 'it is too large' from generate_series(1, ${count}) i`;
}

/** A notification names its channel, and nothing else that the listening session is told does. */
function swallowNotification(direction: string, bytes: Buffer): Promise<void> | undefined {
  const isNotification =
    direction === 'down' && /A....\0?.*postcommit_[0-9a-f]{16}\0/s.test(bytes.toString('latin1'));
  return isNotification ? new Promise(() => undefined) : undefined;
}
