import pg from 'pg';
import { enqueue, InvalidPayload } from 'postcommit';
import { consume, on, route } from 'postcommit/consumer';
import { createRelay } from 'postcommit/relay';
import { until } from '../waiting.ts';
import { letterSent, registered, registry } from './contracts.ts';

const { NATS_URL: nats = 'nats://127.0.0.1:4222', DATABASE_URL: url = '' } = process.env;
const db = new pg.Pool({ connectionString: url });
await db.query('create table patients (id text primary key, name text); create table letters (dear text)');
const [stream] = registry.streams;
const relay = createRelay({
  databaseUrl: () => url,
  nats: () => ({ servers: nats.split(',') }),
  lanes: [{ stream: stream?.name ?? '', subjects: stream?.subjects ?? [] }],
});
await relay.start();

/** A payload that is not as `registered` says is a compile error; at run time it rolls back. */
async function register(patient: Parameters<typeof registered>[0]): Promise<void> {
  const client = await db.connect();
  try {
    await client.query('begin');
    await client.query('insert into patients values ($1, $2)', [patient.id, patient.name]);
    await enqueue(client, registered(patient));
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  } finally {
    client.release();
  }
}

await register({ id: '7.a', country: 'ng', name: 'Ada' });
await register(JSON.parse('{ "id": "8", "country": "fr", "name": "Zoë" }')).catch((error: unknown) => {
  if (error instanceof InvalidPayload)
    console.log(`refused: ${error.issues.map(({ path }) => path).join(', ')}`);
});

let letters = 0;
const consumer = await consume(
  { nats, stream: 'patients', durable: 'letters', db },
  route([
    on(registered, async ({ data, parameters }, { tx, enqueue }) => {
      await tx.query('insert into letters values ($1)', [data.name]);
      await enqueue(letterSent({ country: data.country, patient: data.id }));
      console.log(`a letter to ${data.name}, patient ${parameters.id} of ${parameters.country}`);
    }),
    on(letterSent, ({ data, subject }) => {
      console.log(`${subject}: the letter to patient ${data.patient} is on its way`);
      letters++;
    }),
  ]),
);
await until(() => letters === 1);
await consumer.stop();
await relay.stop();
await db.end();
