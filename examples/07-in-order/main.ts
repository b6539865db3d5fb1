import pg from 'pg';
import { consume } from 'postcommit/consumer';
import { openBus } from 'postcommit/nats';
import { until } from '../waiting.ts';

const { NATS_URL: nats = 'nats://127.0.0.1:4222', DATABASE_URL } = process.env;
const db = new pg.Pool({ connectionString: DATABASE_URL, max: 20 });
const bus = await openBus({ nats });
await db.query('create table history (place serial, patient text, version int)');
await bus.ensureStream({ name: 'patients', subjects: ['*.patient.*'] });
const PATIENTS = ['ada', 'bob', 'cleo'];
const VERSIONS = 20;
for (let version = 1; version <= VERSIONS; version++)
  for (const patient of PATIENTS)
    await bus.store({ subject: `ng.patient.${patient}`, key: patient, payload: { version } });

// Every fifth attempt fails. The later events of that patient wait; those of the others do not.
let attempts = 0;
const options = {
  nats,
  stream: 'patients',
  durable: 'history',
  db,
  order: 'key',
  concurrency: 3,
  leaseTtlMs: 1_000,
  backoff: { firstMs: 5, maxMs: 50 },
} as const;
const startInstance = () =>
  consume(options, async ({ key, json }, { tx }) => {
    const { version } = json<{ version: number }>();
    await tx.query('insert into history (patient, version) values ($1, $2)', [key, version]);
    if (++attempts % 5 === 0) throw new Error('the archive is busy');
  });
const count = async () => Number((await db.query('select count(*) from history')).rows[0].count);

// Two instances: one works, the other stands by. In the midst of it the one that works goes away.
const [one, other] = [await startInstance(), await startInstance()];
await until(() => one.role === 'active' || other.role === 'active');
console.log('of two instances one works, and one stands by');
await until(async () => (await count()) >= 20);
await (one.role === 'active' ? one : other).stop();
await until(async () => (await count()) === PATIENTS.length * VERSIONS);
console.log('the one that worked has gone; the other went on');
for (const patient of PATIENTS) {
  const { rows } = await db.query('select version from history where patient = $1 order by place', [patient]);
  const versions = rows.map(({ version }) => version);
  const inOrder = versions.every((version, i) => version === i + 1);
  console.log(`${patient.padEnd(4)} ${versions.length} changes, in order: ${inOrder}`);
}
console.log(`attempts failed on the way: ${attempts > PATIENTS.length * VERSIONS}`);
await one.stop();
await other.stop();
await bus.close();
await db.end();
