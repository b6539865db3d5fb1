import { getTableName, is, type Table } from 'drizzle-orm';
import { getTableConfig, isPgSequence, PgTable } from 'drizzle-orm/pg-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as schema from '../../src/schema.ts';
import { query } from '../support/query.ts';
import { createMigratedDatabase, type ScratchDatabase } from '../support/services.ts';

const tables = Object.values(schema).filter((value) => is(value, PgTable)) as PgTable[];
const sequences = Object.values(schema).filter((value) => isPgSequence(value));

let database: ScratchDatabase;
beforeAll(async () => {
  database = await createMigratedDatabase();
});
afterAll(() => database.drop());

test.each(tables.map((table) => [getTableName(table as Table), table] as const))(
  '%s in Drizzle is the migrated table: columns, types, nullability, defaults, primary key',
  async (name, table) => {
    const { columns, primaryKeys } = getTableConfig(table);
    const rows = await query(
      database.url,
      `select a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
         a.attnotnull or coalesce(a.attnum = any (n.conkey), false) as not_null,
         a.atthasdef or a.attidentity <> '' as has_default,
         coalesce(a.attnum = any (k.conkey), false) as is_key
       from pg_attribute a
       left join pg_constraint k on k.conrelid = a.attrelid and k.contype = 'p'
       -- The outbox refuses NULL by a CHECK, which does not print the row.
       left join pg_constraint n on n.conrelid = a.attrelid and n.conname = 'outbox_not_null'
       where a.attrelid = 'postcommit.${name}'::regclass and a.attnum > 0 and not a.attisdropped
       order by a.attnum`,
    );
    const keys = new Set(primaryKeys.flatMap((key) => key.columns.map((column) => column.name)));
    expect(rows).toEqual(
      columns.map((column) => [
        column.name,
        column.getSQLType(),
        column.notNull,
        column.hasDefault || column.generatedIdentity !== undefined,
        column.primary || keys.has(column.name),
      ]),
    );
  },
);

test('no table and no sequence is in one place only', async () => {
  const rows = await query(
    database.url,
    `select c.relname as name from pg_class c
     where c.relnamespace = 'postcommit'::regnamespace and c.relkind in ('r', 'p', 'S') and not c.relispartition
       and c.relname <> 'migrations' and not (c.relkind = 'S' and exists
         (select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i') and d.classid = 'pg_class'::regclass))
     order by 1`,
  );
  const expected = [
    ...tables.map((table) => getTableName(table as Table)),
    ...sequences.map(({ seqName }) => String(seqName)),
  ];
  expect(rows.map(([name]) => name)).toEqual(expected.sort());
});
