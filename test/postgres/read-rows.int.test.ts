import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/embedded/index.ts';
import type { Columns } from '../../src/postgres/columns.ts';
import { openSession, type Session } from '../../src/postgres/session.ts';
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import { query } from '../support/query.ts';
import { startPostgres } from '../support/services.ts';

let postgres: EmbeddedPostgres;
let pooler: PgBouncer;
beforeAll(async () => {
  postgres = await startPostgres();
  pooler = await startPgBouncer({ port: postgres.port, poolSize: 1 });
  await query(postgres.url, 'create table written (n int)');
});
afterAll(async () => {
  await pooler[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

const settings = { bytea_output: 'hex' };
const toRow = (columns: Columns) => [columns.integer(), columns.text(), columns.bytes(), columns.float()];

async function read(session: Session, many: boolean, statement: Parameters<Session['read']>[0]) {
  const rows: ReturnType<typeof toRow>[] = [];
  await session.read(statement, { many, onRow: (columns) => rows.push(toRow(columns)) });
  return rows;
}

describe.each(['direct', 'pooled'] as const)('%s', (way) => {
  let session: Session;
  beforeAll(async () => {
    session = await openSession({
      url: way === 'direct' ? postgres.url : pooler.urlOf(postgres.url),
      name: 'reader',
      settings,
    });
  });
  afterAll(() => session.close());

  test.each([true, false])('every value comes as it is, many: %s', async (many) => {
    const rows = await read(session, many, {
      name: 'values',
      text: `select 9007199254740991::int8, 'schlüssel: ß 漢 🙂'::text, decode('000d0aff5c27', 'hex'), 0.1::float8
             union all select -1, '', ''::bytea, '-infinity' union all select null, null, null, null`,
    });
    expect(rows).toEqual([
      [Number.MAX_SAFE_INTEGER, 'schlüssel: ß 漢 🙂', Buffer.from([0, 13, 10, 255, 92, 39]), 0.1],
      [-1, '', Buffer.alloc(0), Number.NEGATIVE_INFINITY],
      [null, null, null, null],
    ]);
  });

  test.each([true, false])('parameters are values, whatever is in them, many: %s', async (many) => {
    const text = `'; drop table written; -- \\ $2 {"a"}`;
    const [row] = await read(session, many, {
      text: 'select $1::int8, $2::text, $3::bytea, array_length($4::int8[], 1)::float8',
      values: [7, text, '\\x00ff', [1, 2, 3]],
    });
    expect(row).toEqual([7, text, Buffer.from([0, 255]), 3]);
    expect(await query(postgres.url, 'select count(*)::int from written')).toEqual([[0]]);
  });

  // pg's parser moves what is left of a message to the front of its buffer, over what was handed out before.
  test.each([true, false])('sizes from none to megabytes, in order, many: %s', async (many) => {
    const rows = await read(session, many, {
      text: `select i::int8, md5(i::text), decode(repeat(md5(i::text), size), 'hex'), size::float8
               from (select i, case i % 500 when 0 then 60000 when 1 then 0 else i % 700 end as size
                       from generate_series(1, 2000) i) s order by i`,
    });
    expect(rows).toHaveLength(2_000);
    for (const [i, [number, digest, bytes, size]] of rows.entries()) {
      expect(number).toBe(i + 1);
      const whole = Buffer.from(String(digest).repeat(Number(size)), 'hex');
      expect(whole.equals(bytes as Uint8Array)).toBe(true);
    }
  });

  test.each([true, false])('nothing at all is no row, many: %s', async (many) => {
    expect(await read(session, many, { text: 'select 1::int8 where false' })).toEqual([]);
  });

  test.each([true, false])(
    'an error in the middle is the answer, and the next read works, many: %s',
    async (many) => {
      const text = `select i::int8, null::text, null::bytea, 1 / (5000 - i)::float8 from generate_series(1, 9000) i`;
      await expect(read(session, many, { text })).rejects.toMatchObject({ code: '22012' });
      expect(session.failed).toBe(false);
      expect(await read(session, many, { text: `select 1::int8, 'a', null::bytea, 2::float8` })).toEqual([
        [1, 'a', null, 2],
      ]);
    },
  );
});

test.each([true, false])(
  'an error of the reader ends the session, as its rows are lost, many: %s',
  async (many) => {
    const session = await openSession({ url: postgres.url, name: 'reader', settings });
    const onRow = () => {
      throw new Error('of the reader');
    };
    const text = 'select i::int8 from generate_series(1, 3) i';
    await expect(session.read({ text }, { many, onRow })).rejects.toThrow('of the reader');
    expect(session.failed).toBe(true);
    await session.close();
  },
);

test('a column of another type is an error, never another value', async () => {
  const session = await openSession({ url: postgres.url, name: 'reader', settings });
  const text = `select 1::int4, '', ''::bytea, 0::float8`;
  await expect(read(session, true, { text })).rejects.toThrow('a column of 4 bytes came instead of one of 8');
  await session.close();
});
