import pg from 'pg';
import { consume, createMetrics } from 'postcommit/consumer';
import { openBus } from 'postcommit/nats';
import { until } from '../waiting.ts';

const { NATS_URL: nats = 'nats://127.0.0.1:4222', DATABASE_URL } = process.env;
const db = new pg.Pool({ connectionString: DATABASE_URL });
const bus = await openBus({ nats });
await db.query('create table vaccinations (patient text)');
await bus.ensureStream({ name: 'patients', subjects: ['ng.patient.>'], duplicateWindowMs: 60_000 });
const event = {
  eventId: '7b0e1f5a-3d52-4e8e-9b64-0c1a2f6d9e01',
  subject: 'ng.patient.1',
  key: '1',
  payload: { vaccine: 'BCG' },
};

// Into the stream once: the server knows the id within its duplicate window, so that a publisher may repeat itself.
const answers = [await bus.store(event), await bus.store(event), await bus.store(event)];
console.log(
  `stored 3 times: ${answers.map(({ sequence, duplicate }) => `${sequence}${duplicate ? ' (duplicate)' : ''}`).join(', ')}`,
);

// Beyond the window, or from a publisher without ids, copies come through. The inbox knows the event all the same.
for (let copy = 0; copy < 4; copy++) bus.publish(event);

// One transaction: inbox row and effect. Then the ack, confirmed by the server: at least once becomes exactly one effect.
const metrics = createMetrics();
const startConsumer = () =>
  consume(
    { nats, stream: 'patients', durable: 'vaccinations', db, confirmAck: true, metrics },
    async ({ key }, { tx }) => {
      await tx.query('insert into vaccinations values ($1)', [key]);
    },
  );
const counted = async (result: string) =>
  (await metrics.consumedEvents.get()).values.find(({ labels }) => labels.result === result)?.value ?? 0;
const vaccinations = async () => (await db.query('select count(*)::int as n from vaccinations')).rows[0].n;

const consumer = await startConsumer();
await until(async () => (await counted('duplicate')) === 4);
console.log(`delivered 5 times: ${await vaccinations()} vaccination, 4 recognised`);
await consumer.stop();

// A replay of the whole stream, the same events once more: nothing happens a second time.
for await (const { id, subject, payload } of bus.readStream({ stream: 'patients' }))
  bus.publish({ eventId: id, subject, payload });
const again = await startConsumer();
await until(async () => (await counted('duplicate')) === 9);
console.log(`the whole stream replayed: ${await vaccinations()} vaccination, 9 recognised`);
await again.stop();
await bus.close();
await db.end();
