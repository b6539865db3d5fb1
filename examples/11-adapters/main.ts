import pg from 'pg';
import { openBus } from 'postcommit/nats';
import { createRelay } from 'postcommit/relay';
import { until } from '../waiting.ts';
import type { Registry } from './registry.ts';

const { NATS_URL: nats = 'nats://127.0.0.1:4222', DATABASE_URL: databaseUrl = '' } = process.env;
const libraries = [
  'pg',
  'postgres-js',
  'drizzle-node-postgres',
  'drizzle-postgres-js',
  'kysely',
  'knex',
  'prisma',
  'typeorm',
];
const db = new pg.Client({ connectionString: databaseUrl });
await db.connect();
await db.query('create table patients (id text primary key, name text not null)');

// Each registers one patient in a transaction that commits, and one in a transaction that fails at its end.
for (const library of libraries) {
  const { openRegistry } = (await import(`./${library}.ts`)) as {
    openRegistry(url: string): Registry | Promise<Registry>;
  };
  const registry = await openRegistry(databaseUrl);
  await registry.register({ id: `${library}-kept`, name: 'Ada' });
  const fails = () => {
    throw new Error('not this one');
  };
  await registry.register({ id: `${library}-undone`, name: 'Bob' }, fails).catch(() => undefined);
  await registry.close();
}

// What the relay made of it.
const relay = createRelay({
  databaseUrl: () => databaseUrl,
  nats: () => ({ servers: nats.split(',') }),
  lanes: [{ stream: 'patients', subjects: ['ng.patient.>'] }],
});
await relay.start();
const bus = await openBus({ nats });
const keys = async () => {
  const found: (string | null)[] = [];
  for await (const { key } of bus.readStream({ stream: 'patients' })) found.push(key);
  return found;
};
await until(async () => (await keys().catch(() => [])).length >= libraries.length);
const published = await keys();
const { rows: patients } = await db.query('select id from patients');
for (const library of libraries) {
  const events = (end: string) => published.filter((key) => key === `${library}-${end}`).length;
  const kept = patients.filter(({ id }) => id.startsWith(`${library}-`)).map(({ id }) => id);
  if (kept.join() !== `${library}-kept`) throw new Error(`${library} registered ${kept.join() || 'nobody'}`);
  console.log(`${library}: committed ${events('kept')} event, rolled back ${events('undone')}`);
}
await relay.stop();
await bus.close();
await db.end();
