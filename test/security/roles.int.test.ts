import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openRoleStage, ROLES, type Role, type RoleStage } from '../support/roles.ts';
import { type Attempt, attemptsOn, type DatabaseObject, objectsOf } from './attempts.ts';

/**
 * All that a role may do with an object, by the verbs of `attempts.ts`; `(…)` are columns. What is not here must be refused.
 * `outbox_*` are the eight leaves, `*` are all tables.
 */
const ALLOWED: Readonly<Record<Role, Readonly<Record<string, readonly string[]>>>> = {
  shop_writer: {
    'schema postcommit': ['USAGE'],
    'table outbox': ['INSERT (event_id, headers, key, payload, subject, type)'],
    'sequence segment': ['SELECT'],
    'sequence parked_until': ['SELECT'],
    'function enqueue': ['EXECUTE'],
    'function enqueue_bytes': ['EXECUTE'],
    'function headers_acceptable': ['EXECUTE'],
    'function refuse': ['EXECUTE'],
    'function max_payload': ['EXECUTE'],
  },
  shop_relay: {
    'schema postcommit': ['USAGE'],
    'table *': ['SELECT'],
    'table outbox_*': ['LOCK', 'TRUNCATE'],
    'table batches': ['DELETE', 'INSERT', 'LOCK'],
    'table lease': ['LOCK', 'UPDATE'],
    'table dead_letters': ['DELETE', 'INSERT', 'LOCK', 'UPDATE'],
    'table requests': ['DELETE', 'INSERT (detail, finished_at, kind, result)', 'LOCK', 'UPDATE'],
    'sequence outbox_position_seq': ['NEXTVAL', 'SELECT', 'SETVAL'],
    'sequence segment': ['NEXTVAL', 'SELECT', 'SETVAL'],
    'sequence parked_until': ['NEXTVAL', 'SELECT', 'SETVAL'],
    'function max_payload': ['EXECUTE'],
  },
  shop_consumer: {
    'schema postcommit': ['USAGE'],
    'table inbox': ['DELETE', 'INSERT', 'LOCK', 'SELECT', 'UPDATE (sequence)'],
    'table consumer_leases': ['INSERT', 'LOCK', 'SELECT', 'UPDATE'],
    'table consumer_failures': ['DELETE', 'INSERT', 'LOCK', 'SELECT', 'UPDATE'],
    'table dead_letters': ['DELETE', 'INSERT', 'LOCK', 'SELECT', 'UPDATE'],
    'function inbox_record': ['EXECUTE'],
    'function inbox_prune': ['EXECUTE'],
    'function max_payload': ['EXECUTE'],
  },
  shop_operator: {
    'schema postcommit': ['USAGE'],
    'table *': ['SELECT'],
    'table requests': ['INSERT (detail, finished_at, kind, result)'],
    'table dead_letters': ['UPDATE (state)'],
    'sequence outbox_position_seq': ['SELECT'],
    'sequence segment': ['SELECT'],
    'function max_payload': ['EXECUTE'],
  },
};

const REFUSED = '42501';

let stage: RoleStage;
let objects: readonly DatabaseObject[];
beforeAll(async () => {
  stage = await openRoleStage();
  const owner = await connect('shop_owner');
  objects = await objectsOf(owner);
  await owner.end();
  const admin = await connect('postgres');
  // A place where the roles may create what refers to the schema.
  await admin.query(
    `CREATE SCHEMA business; GRANT ALL ON SCHEMA business TO shop_owner, ${ROLES.join(', ')}`,
  );
  await admin.end();
});
afterAll(() => stage?.[Symbol.asyncDispose]());

async function connect(role: Parameters<RoleStage['as']>[0]): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: stage.as(role) });
  await client.connect();
  return client;
}

describe.each(ROLES)('%s', (role) => {
  let client: pg.Client;
  beforeAll(async () => {
    client = await connect(role);
  });
  afterAll(() => client.end());

  test('may do with every object of the schema what the table says, and nothing else', async () => {
    const { may, oddities } = await tryEverything(client);
    expect(oddities).toEqual([]);
    expect(may).toEqual(expectedOf(role));
  });

  test('can give nobody a right', async () => {
    const owner = await connect('shop_owner');
    const before = await owner.query(PRIVILEGES);
    // Who has some right gets a warning that there was nothing to hand on, everybody else an error.
    for (const { kind, qualified } of objects.filter((object) => object.kind !== 'index'))
      await client.query(`GRANT ALL ON ${kind} ${qualified} TO PUBLIC`).catch((error) => {
        expect(error).toMatchObject({ code: REFUSED });
      });
    expect((await owner.query(PRIVILEGES)).rows).toEqual(before.rows);
    await owner.end();
  });

  test('has no way around its grants', async () => {
    const owner = await connect('shop_owner'); // Somebody to be terminated.
    for (const statement of DETOURS)
      await expect(client.query(statement), statement).rejects.toMatchObject({ code: REFUSED });
    await owner.end();
  });
});

const DETOURS = [
  'SET ROLE shop_owner',
  'SET SESSION AUTHORIZATION shop_owner',
  'GRANT shop_owner TO CURRENT_USER',
  'ALTER ROLE CURRENT_USER SUPERUSER',
  'ALTER ROLE shop_owner PASSWORD NULL',
  'CREATE ROLE accomplice',
  'CREATE DATABASE elsewhere',
  'CREATE SCHEMA elsewhere',
  'ALTER SYSTEM SET fsync = off',
  'SET session_replication_role = replica',
  "COPY (SELECT 1) TO PROGRAM 'true'",
  "SELECT pg_read_file('PG_VERSION')",
  "SELECT pg_ls_dir('.')",
  'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $$shop_owner$$',
  "SELECT pg_create_physical_replication_slot('hold_wal')",
];

test('no role is a superuser, near to one, or a member of another', async () => {
  const admin = await connect('postgres');
  const { rows } = await admin.query(
    `SELECT rolname FROM pg_roles WHERE rolname LIKE 'shop\\_%'
        AND NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls) ORDER BY 1`,
  );
  const { rows: memberships } = await admin.query(
    "SELECT roleid::regrole FROM pg_auth_members WHERE member::regrole::text LIKE 'shop\\_%'",
  );
  await admin.end();
  expect(rows.map(({ rolname }) => rolname)).toEqual([...ROLES, 'shop_owner'].sort());
  expect(memberships).toEqual([]);
});

test('every attempt is one that the owner succeeds with, unless PostgreSQL has another reason', async () => {
  const owner = await connect('shop_owner');
  const { refused, oddities } = await tryEverything(owner);
  await owner.end();
  expect(refused).toEqual([]);
  const ownReasons = /^DROP (index|sequence) .*: 2BP01$|^REINDEX TABLE postcommit\.outbox: 25001$/;
  expect(oddities.filter((oddity) => !ownReasons.test(oddity))).toEqual([]);
});

test('a grant too many is noticed', async () => {
  const owner = await connect('shop_owner');
  const client = await connect('shop_writer');
  await owner.query('GRANT UPDATE (key) ON postcommit.outbox_3 TO shop_writer');
  const { may } = await tryEverything(client);
  expect(may).toEqual({ ...expectedOf('shop_writer'), 'table outbox_3': ['UPDATE (key)'] });
  await owner.query('REVOKE UPDATE (key) ON postcommit.outbox_3 FROM shop_writer');
  await owner.end();
  await client.end();
});

interface Findings {
  /** Verbs by object. */
  readonly may: Record<string, string[]>;
  readonly refused: string[];
  /** What failed for a reason that is no lack of rights. */
  readonly oddities: string[];
}

/** Every verb on every object, each in a transaction that is taken back. */
async function tryEverything(client: pg.Client): Promise<Findings> {
  const may: Record<string, string[]> = {};
  const refused: string[] = [];
  const oddities: string[] = [];
  for (const object of objects) {
    const allowed: Attempt[] = [];
    for (const attempt of attemptsOn(object)) {
      const outcome = await outcomeOf(client, attempt.statement);
      if (outcome === 'done') allowed.push(attempt);
      else if (outcome === REFUSED) refused.push(attempt.statement);
      else oddities.push(`${attempt.statement}: ${outcome}`);
    }
    if (allowed.length > 0) may[`${object.kind} ${object.name}`] = verbsOf(allowed, object);
  }
  return { may, refused, oddities };
}

async function outcomeOf(client: pg.Client, statement: string): Promise<string> {
  await client.query('BEGIN');
  try {
    await client.query(statement);
    return 'done';
  } catch (error) {
    return String((error as { code?: string }).code);
  } finally {
    await client.query('ROLLBACK');
  }
}

/** `INSERT`, or `INSERT (a, b)` where it is not for all columns. */
function verbsOf(allowed: readonly Attempt[], { columns }: DatabaseObject): string[] {
  const verbs = new Map<string, string[]>();
  for (const { verb, column } of allowed) {
    const ofVerb = verbs.get(verb) ?? [];
    verbs.set(verb, column === undefined ? ofVerb : [...ofVerb, column]);
  }
  return [...verbs]
    .map(([verb, of]) =>
      of.length === 0 || of.length === columns.length ? verb : `${verb} (${of.sort().join(', ')})`,
    )
    .sort();
}

function expectedOf(role: Role): Record<string, string[]> {
  const expected: Record<string, string[]> = {};
  for (const { kind, name } of objects) {
    const names = [
      name,
      ...(/^outbox_\d$/.test(name) ? ['outbox_*'] : []),
      ...(kind === 'table' ? ['*'] : []),
    ];
    const verbs = names.flatMap((known) => ALLOWED[role][`${kind} ${known}`] ?? []);
    if (verbs.length > 0) expected[`${kind} ${name}`] = verbs.sort();
  }
  return expected;
}

const PRIVILEGES = `
  SELECT relname::text AS name, relacl::text AS privileges FROM pg_class WHERE relnamespace = 'postcommit'::regnamespace
  UNION ALL SELECT proname, proacl::text FROM pg_proc WHERE pronamespace = 'postcommit'::regnamespace
  UNION ALL SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname = 'postcommit'
  UNION ALL SELECT attrelid::regclass || '.' || attname, attacl::text FROM pg_attribute
             WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'postcommit'::regnamespace) AND attacl IS NOT NULL
  ORDER BY 1`;
