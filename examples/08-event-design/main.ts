import pg from 'pg';
import { consume } from 'postcommit/consumer';
import { openBus } from 'postcommit/nats';
import { until } from '../waiting.ts';

const { NATS_URL: nats = 'nats://127.0.0.1:4222', DATABASE_URL } = process.env;
const db = new pg.Pool({ connectionString: DATABASE_URL });
const bus = await openBus({ nats });
await bus.ensureStream({ name: 'patients', subjects: ['*.patient.*'] });

// The registry. Others may ask it, while it is up.
const registry = new Map<string, { name: string; city: string }>();
let up = true;
const ask = (id: string) => {
  if (!up) throw new Error('the registry does not answer');
  return registry.get(id);
};
async function change(id: string, patient: { name: string; city: string }): Promise<void> {
  registry.set(id, patient);
  // Thin: something has happened to 7. Fat: what it is now.
  await bus.store({ subject: `ng.patient.${id}`, key: id, type: 'patient.changed.thin', payload: { id } });
  await bus.store({
    subject: `ng.patient.${id}`,
    key: id,
    type: 'patient.changed',
    payload: { id, ...patient },
  });
}
await change('7', { name: 'Ada', city: 'Lagos' });
await change('7', { name: 'Ada', city: 'Abuja' });

// Thin: small, nothing private in the stream, never out of date; but every consumer has to ask back, sees only the last
// state, and stops when the registry does.
const asked: string[] = [];
let failures = 0;
const thin = await consume(
  { nats, stream: 'patients', durable: 'thin', db, backoff: { firstMs: 20, maxMs: 50 }, maxAttempts: 1_000 },
  ({ type, key }) => {
    if (type !== 'patient.changed.thin') return;
    try {
      asked.push(ask(key ?? '')?.city ?? 'unknown');
    } catch (error) {
      failures++;
      throw error;
    }
  },
);
await until(() => asked.length === 2);
console.log(`thin events: asked for each, and heard of ${asked.join(' and ')}`);
up = false;
await change('7', { name: 'Ada', city: 'Kano' });
await until(() => failures > 0);
console.log('thin events: the registry is down, and so are its consumers');

// Fat: a consumer keeps a table of its own, of what it needs and as it needs it, and asks nobody.
await db.query('create table patient_cities (id text primary key, city text, seen int)');
const fat = await consume(
  { nats, stream: 'patients', durable: 'fat', db },
  async ({ type, json }, { tx }) => {
    if (type !== 'patient.changed') return;
    const { id, city } = json<{ id: string; city: string }>();
    await tx.query(
      `insert into patient_cities values ($1, $2, 1)
     on conflict (id) do update set city = excluded.city, seen = patient_cities.seen + 1`,
      [id, city],
    );
  },
);
const model = async () => (await db.query('select city, seen from patient_cities')).rows[0];
await until(async () => (await model())?.seen === 3);
const { city, seen } = await model();
console.log(
  `fat events: a read model of its own says ${city}, after ${seen} changes, while the registry is down`,
);

// And one that comes later builds another one from the same stream.
const cities: string[] = [];
for await (const { type, json } of bus.readStream({ stream: 'patients' }))
  if (type === 'patient.changed') cities.push(json<{ city: string }>().city);
console.log(`an event store: the history is ${cities.join(', ')}`);
await thin.stop({ graceMs: 100 });
await fat.stop();
await bus.close();
await db.end();
