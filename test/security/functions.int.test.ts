import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openSession } from '../../src/postgres/session.ts';
import { runCli } from '../support/cli.ts';
import { query } from '../support/query.ts';
import { openRoleStage, type RoleStage } from '../support/roles.ts';
import { SHADOWS } from './shadows.ts';

let stage: RoleStage;
beforeAll(async () => {
  stage = await openRoleStage();
  await query(stage.as('postgres'), SHADOWS);
});
afterAll(() => stage?.[Symbol.asyncDispose]());

/** Of those that would run with their owner's rights: what makes that dangerous. */
const DANGEROUS = `
  SELECT p.proname,
         array_remove(ARRAY[
           CASE WHEN NOT coalesce(array_to_string(p.proconfig, ' ') ~ 'search_path=', false) THEN 'search_path of the caller' END,
           CASE WHEN r.rolsuper THEN 'owned by a superuser' END,
           CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN 'for everybody' END], NULL)::text[] AS faults
    FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner
   WHERE p.pronamespace = 'postcommit'::regnamespace AND p.prosecdef`;

test('no function runs with the rights of its owner', async () => {
  expect(await query(stage.as('postgres'), DANGEROUS)).toEqual([]);
});

test('one that did would be found, with what is dangerous in it', async () => {
  await query(stage.as('postgres'), 'CREATE FUNCTION postcommit.bad() RETURNS int SECURITY DEFINER RETURN 1');
  expect(await query(stage.as('postgres'), DANGEROUS)).toEqual([
    ['bad', ['search_path of the caller', 'owned by a superuser', 'for everybody']],
  ]);
  await query(stage.as('postgres'), 'DROP FUNCTION postcommit.bad()');
});

test('everything in the schema is owned by the role that migrated, which is no superuser', async () => {
  const owners = `SELECT DISTINCT r.rolname, r.rolsuper FROM pg_roles r WHERE r.oid IN (
    SELECT relowner FROM pg_class WHERE relnamespace = 'postcommit'::regnamespace
    UNION SELECT proowner FROM pg_proc WHERE pronamespace = 'postcommit'::regnamespace
    UNION SELECT nspowner FROM pg_namespace WHERE nspname = 'postcommit')`;
  expect(await query(stage.as('postgres'), owners)).toEqual([['shop_owner', false]]);
});

test('the shadows bite: in front of the search_path they take the place of what PostgreSQL has', async () => {
  await using shadowed = await connect('shop_writer', SHADOWED);
  for (const statement of [
    'SELECT 1 + 1',
    'SELECT gen_random_uuid()',
    "SELECT lower('A')",
    "SELECT 'a'::text",
  ])
    await expect(shadowed.client.query(statement), statement).rejects.toThrow(/shadow/);
  const [[functions, operators, types] = []] = await query(
    stage.as('postgres'),
    `SELECT (SELECT count(*)::int FROM pg_proc WHERE pronamespace = 'shadow'::regnamespace AND proname !~ '^operator_'),
            (SELECT count(*)::int FROM pg_operator WHERE oprnamespace = 'shadow'::regnamespace),
            (SELECT count(*)::int FROM pg_type WHERE typnamespace = 'shadow'::regnamespace AND typtype = 'd')`,
  );
  expect([Number(functions) > 2_000, Number(operators) > 700, Number(types) > 50]).toEqual([
    true,
    true,
    true,
  ]);
});

const SHADOWED = 'shadow, pg_catalog, pg_temp';
const ORDINARY = '"$user", public';

test.each(['shop_writer', 'shop_consumer'] as const)(
  'what %s calls does the same whoever stands in front of its search_path',
  async (role) => {
    const steps = role === 'shop_writer' ? WRITING : RECORDING;
    const plain = await outcomesOf(role, { searchPath: ORDINARY, steps });
    const shadowed = await outcomesOf(role, { searchPath: SHADOWED, steps });
    expect(shadowed).toEqual(plain);
    // Neither of them because all of it failed.
    expect(plain.filter((outcome) => outcome.startsWith('ERROR'))).toHaveLength(
      steps.filter(({ isRefused }) => isRefused).length,
    );
  },
);

test('the trigger wakes the relay, and keeps silent, under the same conditions', async () => {
  await using listener = await connect('shop_relay', ORDINARY);
  const heard: string[] = [];
  listener.client.on('notification', ({ channel }) => heard.push(channel));
  await listener.client.query('LISTEN postcommit; LISTEN done');
  await using writer = await connect('shop_writer', SHADOWED);
  const insert = "INSERT INTO postcommit.outbox (subject, payload) VALUES ('events.a', '')";
  await writer.client.query(insert);
  await listener.client.query("SELECT setval('postcommit.parked_until', 4102444800)");
  await writer.client.query(insert);
  await writer.client.query('BEGIN');
  await writer.client.query("SET LOCAL postcommit.notify = 'off'");
  await writer.client.query(insert);
  await writer.client.query('COMMIT');
  await writer.client.query('NOTIFY done');
  await expect.poll(() => heard).toContain('done');
  expect(heard).toEqual(['postcommit', 'done']);
});

test.each([
  ['shop_operator', ['audit', '--dry-run']],
  ['shop_operator', ['dead-letters', 'list']],
  ['shop_owner', ['migrate', '--max-payload', '999999']],
] as const)(
  "%s: what `postcommit %s` asks for is PostgreSQL's own, whatever its role's search_path",
  async (role, args) => {
    await query(stage.as('postgres'), `ALTER ROLE ${role} SET search_path = ${SHADOWED}`);
    expect(await runCli(args, { DATABASE_URL: stage.as(role) })).toMatchObject({ code: 0, stderr: '' });
    await query(stage.as('postgres'), `ALTER ROLE ${role} RESET search_path`);
  },
);

test('nor do sessions of a relay, which find its tables by their schema', async () => {
  await query(stage.as('postgres'), `ALTER ROLE shop_relay SET search_path = ${SHADOWED}`);
  const session = await openSession({ url: stage.as('shop_relay'), name: 'a test' });
  expect(await session.query({ text: "select current_setting('search_path'), 1 + 1" })).toEqual([
    ['pg_catalog', '2'],
  ]);
  await session.close();
  await query(stage.as('postgres'), 'ALTER ROLE shop_relay RESET search_path');
});

interface Step {
  readonly statement: string;
  readonly isRefused?: true;
}

const does = (statement: string): Step => ({ statement });
const refused = (statement: string): Step => ({ statement, isRefused: true });

const WRITING: readonly Step[] = [
  does(`SELECT postcommit.enqueue('events.a', '{"a": 1}', 'k', '{"h": "v"}', type => 't') IS NULL`),
  does(`SELECT postcommit.enqueue_bytes('events.b', '\\x00ff', 'k', '{"h": "v", "g": "w"}') IS NULL`),
  does(
    `SELECT postcommit.enqueue_bytes('events.b', '\\x00', event_id => '4c5f0d3c-0c4e-4c59-9a0b-6a3f6cb5e3a1')`,
  ),
  does(`SELECT postcommit.enqueue('events.d', '1', headers => NULL, event_id => NULL) IS NULL`),
  does(`INSERT INTO postcommit.outbox (subject, payload, headers) VALUES ('events.c', 'x', '{"h": "v"}')`),
  refused(`SELECT postcommit.enqueue('events.*', '1')`),
  refused(`SELECT postcommit.enqueue('events.a', NULL)`),
  refused(`SELECT postcommit.enqueue(NULL, '1')`),
  refused(`SELECT postcommit.enqueue('events.a', '1', key => ' k')`),
  refused(`SELECT postcommit.enqueue('events.a', '1', type => '')`),
  refused(`SELECT postcommit.enqueue('events.a', '1', headers => '[]')`),
  refused(`SELECT postcommit.enqueue('events.a', '1', headers => '{"a b": "c"}')`),
  refused(`SELECT postcommit.enqueue('events.a', '1', headers => '{"Nats-Rollup": "all"}')`),
  refused(`SELECT postcommit.enqueue('events.a', '1', headers => '{"a": 1}')`),
  refused(`SELECT postcommit.enqueue('events.a', '1', headers => '{"a": "c\\nd"}')`),
  refused(`SELECT postcommit.enqueue('events.a', '1', headers => '{"a": "${'x'.repeat(60_001)}"}')`),
  refused(`INSERT INTO postcommit.outbox (subject, payload) VALUES ('events.a', '${'x'.repeat(1_000_001)}')`),
];

const RECORDING: readonly Step[] = [
  does("SELECT postcommit.inbox_record('c', 'e1', 's', 5)"),
  does("SELECT postcommit.inbox_record('c', 'e1', 's', 9)"),
  does("SELECT postcommit.inbox_record('c', 'e2', 's', 6)"),
  does("SELECT postcommit.inbox_record('c', 'e3')"),
  refused("SELECT postcommit.inbox_record(NULL, 'e3')"),
  does("SELECT postcommit.inbox_prune('c', 's', 7, '0 s')"),
  does("SELECT postcommit.inbox_prune('c', 's', 7, '1 day')"),
  refused("SELECT postcommit.inbox_prune('c', 's', 7, '-1 s')"),
  refused("SELECT postcommit.inbox_prune('c', 's', NULL)"),
];

/** What each step returns or is refused with, and what it left behind. */
async function outcomesOf(
  role: 'shop_writer' | 'shop_consumer',
  { searchPath, steps }: { readonly searchPath: string; readonly steps: readonly Step[] },
): Promise<string[]> {
  await query(stage.as('shop_owner'), 'TRUNCATE postcommit.outbox, postcommit.inbox');
  await using connection = await connect(role, searchPath);
  const outcomes: string[] = [];
  for (const { statement } of steps) outcomes.push(await outcomeOf(connection.client, statement));
  const left = await query(
    stage.as('shop_owner'),
    `SELECT subject, key, type, headers::text, encode(payload, 'hex') FROM postcommit.outbox ORDER BY position`,
  );
  const recorded = await query(
    stage.as('shop_owner'),
    'SELECT consumer, event_id, stream, sequence FROM postcommit.inbox ORDER BY event_id',
  );
  return [...outcomes, JSON.stringify(left), JSON.stringify(recorded)];
}

async function outcomeOf(client: pg.Client, statement: string): Promise<string> {
  try {
    const { rows } = await client.query({ text: statement, rowMode: 'array' });
    return JSON.stringify(rows);
  } catch (error) {
    const { code, message, constraint } = error as pg.DatabaseError;
    return `ERROR ${code} ${constraint}: ${message}`;
  }
}

async function connect(role: Parameters<RoleStage['as']>[0], searchPath: string) {
  const client = new pg.Client({ connectionString: stage.as(role) });
  await client.connect();
  // Before the first call: functions are compiled with the path of that moment.
  await client.query(`SET search_path = ${searchPath}`);
  return { client, [Symbol.asyncDispose]: () => client.end() };
}
