import type pg from 'pg';

/** Something in the schema postcommit that rights are about. */
export interface DatabaseObject {
  readonly kind: 'schema' | 'table' | 'sequence' | 'function' | 'index' | 'type';
  readonly name: string;
  /** With its schema; a function with the types of its arguments. */
  readonly qualified: string;
  readonly columns: readonly Column[];
  /** Of the columns of a table's primary key, or of a function's arguments. */
  readonly types: readonly string[];
}

interface Column {
  readonly name: string;
  readonly type: string;
  /** PostgreSQL itself chooses its value. */
  readonly generated: boolean;
}

/** A statement that succeeds, without touching a row, exactly if the role may do this. */
export interface Attempt {
  readonly verb: string;
  readonly column?: string;
  readonly statement: string;
}

/** Whatever there is in the schema by now, so that nothing new is left out. */
export async function objectsOf(client: pg.Client): Promise<DatabaseObject[]> {
  const { rows } = await client.query<DatabaseObject>(OBJECTS);
  return rows;
}

const OBJECTS = `
  SELECT 'schema' AS kind, 'postcommit' AS name, 'postcommit' AS qualified, '[]'::json AS columns, '[]'::json AS types
  UNION ALL
  SELECT CASE WHEN c.relkind IN ('r', 'p') THEN 'table' WHEN c.relkind = 'S' THEN 'sequence'
              WHEN c.relkind IN ('i', 'I') THEN 'index' ELSE 'unknown ' || c.relkind::text END,
         c.relname, 'postcommit.' || quote_ident(c.relname),
         (SELECT coalesce(json_agg(json_build_object('name', attname, 'type', format_type(atttypid, atttypmod),
                                                     'generated', attidentity = 'a') ORDER BY attnum), '[]')
            FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND c.relkind IN ('r', 'p')),
         (SELECT coalesce(json_agg(format_type(a.atttypid, a.atttypmod) ORDER BY place), '[]')
            FROM pg_constraint k, unnest(k.conkey) WITH ORDINALITY AS key (number, place), pg_attribute a
           WHERE k.conrelid = c.oid AND k.contype = 'p' AND a.attrelid = c.oid AND a.attnum = key.number)
    FROM pg_class c WHERE c.relnamespace = 'postcommit'::regnamespace
  UNION ALL
  SELECT 'function', proname, 'postcommit.' || quote_ident(proname) || '(' || oidvectortypes(proargtypes) || ')', '[]'::json,
         (SELECT coalesce(json_agg(format_type(type, NULL) ORDER BY place), '[]')
            FROM unnest(proargtypes) WITH ORDINALITY AS argument (type, place))
    FROM pg_proc WHERE pronamespace = 'postcommit'::regnamespace
  UNION ALL
  -- Those that are no table's row or array.
  SELECT 'type', typname, 'postcommit.' || quote_ident(typname), '[]'::json, '[]'::json
    FROM pg_type WHERE typnamespace = 'postcommit'::regnamespace AND typtype IN ('d', 'e', 'r')
  ORDER BY 1, 2`;

export function attemptsOn(object: DatabaseObject): readonly Attempt[] {
  const { kind, qualified } = object;
  return [
    ...BY_KIND[kind](object),
    { verb: 'ALTER', statement: `ALTER ${kind} ${qualified} RENAME TO renamed` },
    { verb: 'DROP', statement: `DROP ${kind} ${qualified} CASCADE` },
    { verb: 'COMMENT', statement: `COMMENT ON ${kind} ${qualified} IS 'mine'` },
  ];
}

const BY_KIND: Readonly<Record<DatabaseObject['kind'], (object: DatabaseObject) => Attempt[]>> = {
  schema: () => [
    { verb: 'USAGE', statement: "SELECT 'postcommit.outbox'::regclass" },
    { verb: 'CREATE', statement: 'CREATE TABLE postcommit.mine (n int)' },
    { verb: 'CREATE', statement: 'CREATE FUNCTION postcommit.mine() RETURNS int LANGUAGE sql RETURN 1' },
    { verb: 'CREATE', statement: 'CREATE VIEW postcommit.mine AS SELECT 1' },
    { verb: 'OWN', statement: 'ALTER SCHEMA postcommit OWNER TO CURRENT_USER' },
  ],
  table: (table) => [...rowAttempts(table), ...columnAttempts(table), ...definitionAttempts(table)],
  sequence: ({ qualified }) => [
    { verb: 'SELECT', statement: `SELECT last_value FROM ${qualified}` },
    { verb: 'NEXTVAL', statement: `SELECT nextval('${qualified}')` },
    { verb: 'SETVAL', statement: `SELECT setval('${qualified}', 5)` },
    { verb: 'RESTART', statement: `ALTER SEQUENCE ${qualified} RESTART` },
  ],
  function: ({ qualified, types }) => {
    const values = types.map((type) => `NULL::${type}`);
    const [name] = qualified.split('(');
    return [
      { verb: 'EXECUTE', statement: `SELECT ${name}(${values}) WHERE false` },
      { verb: 'OWN', statement: `ALTER FUNCTION ${qualified} SECURITY DEFINER` },
    ];
  },
  index: () => [],
  type: ({ qualified }) => [{ verb: 'USAGE', statement: `CREATE TABLE business.mine (x ${qualified})` }],
};

function rowAttempts({ qualified }: DatabaseObject): Attempt[] {
  return [
    { verb: 'DELETE', statement: `DELETE FROM ONLY ${qualified} WHERE false` },
    { verb: 'TRUNCATE', statement: `TRUNCATE ${qualified}` },
    { verb: 'LOCK', statement: `LOCK TABLE ONLY ${qualified} IN ACCESS EXCLUSIVE MODE` },
  ];
}

/** Of an identity column only DEFAULT can be written, and a value of one's own with OVERRIDING. */
function columnAttempts({ qualified, columns }: DatabaseObject): Attempt[] {
  return columns.flatMap(({ name, type, generated }) => {
    const overriding = generated ? ' OVERRIDING SYSTEM VALUE' : '';
    const value = generated ? 'DEFAULT' : `NULL::${type}`;
    return [
      { verb: 'SELECT', column: name, statement: `SELECT ${name} FROM ${qualified} WHERE false` },
      {
        verb: 'INSERT',
        column: name,
        statement: `INSERT INTO ${qualified} (${name})${overriding} SELECT NULL::${type} WHERE false`,
      },
      { verb: 'UPDATE', column: name, statement: `UPDATE ${qualified} SET ${name} = ${value} WHERE false` },
    ];
  });
}

function definitionAttempts({ qualified, types }: DatabaseObject): Attempt[] {
  const keys = types.map((type, i) => ({ name: `key_${i}`, type }));
  const foreign = `FOREIGN KEY (${keys.map(({ name }) => name)}) REFERENCES ${qualified}`;
  const trigger = `CREATE TRIGGER mine BEFORE UPDATE ON ${qualified} FOR EACH ROW`;
  return [
    {
      verb: 'REFERENCES',
      statement: `CREATE TABLE business.mine (${keys.map(({ name, type }) => `${name} ${type}`)}, ${foreign})`,
    },
    { verb: 'TRIGGER', statement: `${trigger} EXECUTE FUNCTION suppress_redundant_updates_trigger()` },
    { verb: 'RULE', statement: `CREATE RULE mine AS ON DELETE TO ${qualified} DO INSTEAD NOTHING` },
    { verb: 'INDEX', statement: `CREATE INDEX mine ON ${qualified} ((1))` },
    // In PostgreSQL 17 and newer who has MAINTAIN may do this, too.
    { verb: 'MAINTAIN', statement: `REINDEX TABLE ${qualified}` },
    { verb: 'OWN', statement: `ALTER TABLE ${qualified} OWNER TO CURRENT_USER` },
    { verb: 'OWN', statement: `ALTER TABLE ${qualified} DISABLE TRIGGER ALL` },
  ];
}
