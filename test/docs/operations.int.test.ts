import { existsSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSession } from '../../src/postgres/session.ts';
import { readSource } from '../../src/relay/source.ts';
import { buildManifests } from '../deploy/manifests.ts';
import { runCli } from '../support/cli.ts';
import { query } from '../support/query.ts';
import { createMigratedDatabase, type ScratchDatabase } from '../support/services.ts';
import { codeIn, proseOf, ROOT, samplesOf, tableBelow } from './pages.ts';

const PAGE = 'docs/operations.md';

let database: ScratchDatabase;
beforeAll(async () => {
  database = await createMigratedDatabase();
});
afterAll(() => database?.drop());

describe('samples', () => {
  const sql = samplesOf(PAGE).filter(({ language, marks }) => language === 'sql' && marks.has('run'));

  test.each(sql.map((sample) => [sample.line, sample] as const))(
    'the one in line %i runs',
    async (_, { text }) => {
      const client = new pg.Client({ connectionString: database.url });
      await client.connect();
      try {
        const results = [await client.query(text)].flat();
        for (const { rows } of results) expect(rows.length).toBeGreaterThan(0);
      } finally {
        await client.end();
      }
    },
  );

  test('the statement that names a database names it as a relay does', async () => {
    const text = sql.find((sample) => sample.text.includes('AS source'))?.text ?? '';
    const session = await openSession({ url: database.url, name: 'test' });
    const source = await readSource(session);
    await session.close();
    expect(await query(database.url, text)).toEqual([[source]]);
  });

  test('shell commands that nothing runs here say what they need', () => {
    const silent = samplesOf(PAGE).filter(({ language, marks }) => language === 'sh' && !marks.get('needs'));
    expect(silent).toEqual([]);
  });

  test('every other sample is run, here or where the moves are', () => {
    const others = samplesOf(PAGE).filter(({ language }) => language !== 'sh');
    expect(
      others.filter(({ marks }) => !['run', 'polling', 'debezium'].some((mark) => marks.has(mark))),
    ).toEqual([]);
  });
});

test.each([
  { column: 1, bytes: 256 },
  { column: 2, bytes: 4_096 },
])('an event with $bytes bytes of payload takes what the table of disks says', async ({ column, bytes }) => {
  const one = await createMigratedDatabase();
  const count = 5_000;
  await query(
    one.url,
    `INSERT INTO postcommit.outbox (subject, key, type, payload)
     SELECT 'orders.order.created', 'order-' || i % 1000, 'order.created',
            convert_to((SELECT string_agg(md5(i::text || g), '') FROM generate_series(1, ${bytes} / 32) g), 'UTF8')
       FROM generate_series(1, ${count}) i`,
  );
  const [row] = await query(
    one.url,
    `SELECT sum(pg_total_relation_size(relid))::float8 / ${count} FROM pg_partition_tree('postcommit.outbox')`,
  );
  await one.drop();
  const listed = Number(tableBelow(PAGE, 'Disk')[0]?.[column]?.replace(',', ''));
  expect(Number(row?.[0]) / listed).toBeGreaterThan(0.9);
  expect(Number(row?.[0]) / listed).toBeLessThan(1.1);
});

test('commands of postcommit on the page exist, with their flags', async () => {
  const inProse = codeIn(proseOf(PAGE)).filter((code) => code.startsWith('postcommit '));
  expect(inProse.length).toBeGreaterThan(3);
  for (const command of new Set(inProse)) {
    const words = command.split(' ').slice(1);
    const names = words.filter((word) => /^[a-z-]+$/.test(word) && !word.startsWith('--'));
    const path = names.slice(0, names[0] === 'dead-letters' ? 2 : 1);
    const { code, stdout } = await runCli([...path, '--help']);
    expect(code, command).toBe(0);
    for (const flag of words.filter((word) => word.startsWith('--'))) expect(stdout, command).toContain(flag);
  }
});

test('commands of kubectl and compose name what the manifests have', async () => {
  const shell = samplesOf(PAGE)
    .filter(({ language }) => language === 'sh')
    .map(({ text }) => text)
    .join('');
  const manifests = await buildManifests('deploy/kubernetes/overlays/example');
  const known = manifests.map(({ kind, metadata }) => `${kind.toLowerCase()}/${metadata.name}`);
  const named = [...shell.matchAll(/(?:status |delete )(\w+)[ /](\S+)/g)].map(
    ([, kind, name]) => `${kind}/${name}`,
  );
  expect(named.length).toBeGreaterThan(2);
  expect(named.filter((one) => !known.includes(one))).toEqual([]);
  const namespace = manifests.find(({ kind }) => kind === 'Namespace')?.metadata.name;
  expect(new Set([...shell.matchAll(/kubectl -n (\S+)/g)].map(([, name]) => name))).toEqual(
    new Set([namespace]),
  );
  const [, copied = ''] = /cp -r (\S+) /.exec(shell) ?? [];
  expect(existsSync(join(ROOT, copied, 'kustomization.yaml'))).toBe(true);
});
