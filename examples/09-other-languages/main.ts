import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { openBus } from 'postcommit/nats';
import { createRelay } from 'postcommit/relay';
import { until } from '../waiting.ts';

const { NATS_URL: nats = 'nats://127.0.0.1:4222', DATABASE_URL: databaseUrl = '' } = process.env;
const db = new pg.Pool({ connectionString: databaseUrl });
const file = (name: string) => new URL(name, import.meta.url).pathname;
await db.query('create table patients (id text primary key); create table letters (patient text)');

/** By the tool where it is installed; the same SQL by `pg` where it is not. */
async function run(tool: string, args: string[], sql: string): Promise<string> {
  const { status, error } = spawnSync(tool, args, { encoding: 'utf8' });
  if (error === undefined && status === 0) return tool;
  await db.query(sql);
  return `pg, for want of ${tool}`;
}

const writeSql = readFileSync(file('write.sql'), 'utf8');
const by = await run(
  'psql',
  ['--quiet', '--set', 'ON_ERROR_STOP=1', '--dbname', databaseUrl, '--file', file('write.sql')],
  writeSql,
);
console.error(`written by ${by}`);
const python = await run(
  'python3',
  [file('write.py'), databaseUrl],
  writeSql.replaceAll("'psql'", "'python'"),
);
console.error(`written by ${python}`);

const relay = createRelay({
  databaseUrl: () => databaseUrl,
  nats: () => ({ servers: nats.split(',') }),
  lanes: [{ stream: 'patients', subjects: ['*.patient.>'] }],
});
await relay.start();
const bus = await openBus({ nats });
const events = async () => {
  const found = [];
  for await (const { id, subject, key, type, stream, sequence } of bus.readStream({ stream: 'patients' }))
    found.push({ id, subject, key, type, stream, sequence });
  return found;
};
await until(async () => (await events().catch(() => [])).length === 2);
for (const { subject, key, type } of await events()) console.log(`${subject} of ${key}: ${type}`);

// An inbox in plain SQL, from whatever language reads NATS: here each event arrives three times.
for (let delivery = 1; delivery <= 3; delivery++)
  for (const { id, key, stream, sequence } of await events())
    await db.query(
      `with fresh as (select postcommit.inbox_record('letters-sql', $1, $2, $3) as is_new)
       insert into letters (patient) select $4 from fresh where is_new`,
      [id, stream, sequence, key],
    );
const { rows } = await db.query('select patient from letters order by patient');
console.log(`6 deliveries, letters to ${rows.map(({ patient }) => patient).join(' and ')}`);
await relay.stop();
await bus.close();
await db.end();
