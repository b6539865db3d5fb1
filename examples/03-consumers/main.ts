import pg from 'pg';
import { type ConsumeOptions, consume } from 'postcommit/consumer';
import { type DeliverPolicy, openBus } from 'postcommit/nats';
import { until } from '../waiting.ts';

const { NATS_URL: nats = 'nats://127.0.0.1:4222', DATABASE_URL } = process.env;
const db = new pg.Pool({ connectionString: DATABASE_URL });
const bus = await openBus({ nats });
await bus.ensureStream({ name: 'patients', subjects: ['*.patient.*'] });

let registered = 0;
const register = async (country: string) => {
  registered++;
  await bus.store({ subject: `${country}.patient.${registered}`, payload: { id: registered } });
};
for (const country of ['ng', 'gb', 'ng', 'gb', 'ng']) await register(country);
await new Promise((resolve) => setTimeout(resolve, 50)); // So that a time lies between them.
const noon = new Date();
await register('gb');

/** A durable per policy, each with handlers of its own. */
async function durable(name: string, more: Partial<ConsumeOptions>, expected: number): Promise<void> {
  const ids: number[] = [];
  const options = { nats, stream: 'patients', durable: name, db, ...more } as ConsumeOptions<pg.Pool>;
  const consumer = await consume(options, (event) => {
    ids.push(event.json<{ id: number }>().id);
  });
  if (name === 'new') {
    await consumer.ready;
    await register('ng');
  }
  await until(() => ids.length === expected);
  await consumer.stop();
  console.log(`${name.padEnd(9)} ${ids.join(' ')}`);
}

console.log('durable: remembers how far it got');
await durable('all', {}, 6);
await durable('from-4', { deliverPolicy: { fromSequence: 4 } }, 3);
await durable('from-noon', { deliverPolicy: { fromTime: noon } }, 1);
await durable('last', { deliverPolicy: 'last' }, 1);
await durable('ng-only', { subjects: ['ng.patient.*'] }, 3);
await durable('new', { deliverPolicy: 'new' }, 1);

console.log('ephemeral: an event store, read again from wherever one likes');
const replay = async (name: string, from: DeliverPolicy, subjects: string[] = []) => {
  const ids: number[] = [];
  for await (const event of bus.readStream({ stream: 'patients', from, subjects }))
    ids.push(event.json<{ id: number }>().id);
  console.log(`${name.padEnd(9)} ${ids.join(' ')}`);
};
await replay('first', 'all');
await replay('sequence', { fromSequence: 5 });
await replay('time', { fromTime: noon });
await replay('gb', 'all', ['gb.patient.*']);

console.log('the whole stream through the same inbox: no handler runs a second time');
let handled = 0;
await bus.ensureStream({ name: 'copies', subjects: ['archive.*'] });
for (let round = 0; round < 2; round++)
  for await (const event of bus.readStream({ stream: 'patients' }))
    bus.publish({
      subject: `archive.${event.sequence}`,
      payload: event.payload,
      eventId: uuidOf(event.sequence),
    });
const copies = await consume({ nats, stream: 'copies', durable: 'copies', db }, () => {
  handled++;
});
const seen = async () =>
  Number(
    (await db.query('select count(*) from postcommit.inbox where consumer = $1', ['copies'])).rows[0].count,
  );
await until(async () => (await seen()) === 7);
await copies.stop();
console.log(`14 copies, ${handled} effects`);
await bus.close();
await db.end();

function uuidOf(n: number): string {
  return `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
}
