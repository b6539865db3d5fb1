import pg from 'pg';
import { consume } from 'postcommit/consumer';
import { openBus } from 'postcommit/nats';
import { until } from '../waiting.ts';

const { NATS_URL: nats = 'nats://127.0.0.1:4222', DATABASE_URL } = process.env;
const db = new pg.Pool({ connectionString: DATABASE_URL });
const bus = await openBus({ nats });
const PATIENTS = 60;

// Core NATS: of a queue group, each message goes to one subscriber. At most once, and nobody waits for anybody.
const clinics = [0, 0, 0];
const subscriptions = clinics.map((_, i) =>
  bus.subscribe('ng.patient.*', () => void count(clinics, i), { queue: 'clinics' }),
);
let audited = 0;
const audit = bus.subscribe('ng.patient.*', () => void audited++);
for (let id = 1; id <= PATIENTS; id++) bus.publish({ subject: `ng.patient.${id}`, payload: { id } });
await until(() => audited === PATIENTS);
for (const subscription of [...subscriptions, audit]) await subscription.stop();
console.log(
  `core: 3 clinics of one queue group saw ${sum(clinics)} of ${PATIENTS}, each at least one: ${clinics.every((n) => n > 0)}`,
);
console.log(`core: whoever is in no group saw ${audited}`);

// A work queue keeps each message until it is acknowledged. Instances of one durable share it out (`order: 'none'`).
await bus.ensureStream({ name: 'work', subjects: ['gb.patient.*'], retention: 'workqueue' });
const workers = [0, 0];
const instances = await Promise.all(
  workers.map((_, i) =>
    consume({ nats, stream: 'work', durable: 'register', db, order: 'none', prefetch: 5 }, async () => {
      count(workers, i);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }),
  ),
);
await Promise.all(instances.map(({ ready }) => ready));
for (let id = 1; id <= PATIENTS; id++) await bus.store({ subject: `gb.patient.${id}`, payload: { id } });
const effects = async () => Number((await db.query('select count(*) from postcommit.inbox')).rows[0].count);
await until(async () => (await effects()) === PATIENTS);
for (const instance of instances) await instance.stop();
console.log(
  `work queue: 2 workers did ${sum(workers)} of ${PATIENTS}, each at least one: ${workers.every((n) => n > 0)}`,
);
const { differences } = await bus.ensureStream({
  name: 'work',
  subjects: ['gb.patient.*'],
  retention: 'workqueue',
});
console.log(`work queue: as declared, ${differences.length} differences`);
await bus.close();
await db.end();

function count(counts: number[], place: number): void {
  counts[place] = (counts[place] ?? 0) + 1;
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, n) => total + n, 0);
}
