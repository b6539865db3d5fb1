import pg from 'pg';
import { consume } from 'postcommit/consumer';
import { openBus } from 'postcommit/nats';
import { until } from '../waiting.ts';

const { NATS_URL: nats = 'nats://127.0.0.1:4222', DATABASE_URL } = process.env;
const db = new pg.Pool({ connectionString: DATABASE_URL });
const bus = await openBus({ nats });

// A stream keeps what is published; a durable remembers how far its service got.
await bus.ensureStream({ name: 'patients', subjects: ['ng.patient.>', 'gb.patient.>'] });
const register = (id: number) => bus.store({ subject: `ng.patient.${id}`, key: String(id), payload: { id } });
const letters: number[] = [];
const startLetters = () =>
  consume({ nats, stream: 'patients', durable: 'letters', db }, (event) => {
    letters.push(event.json<{ id: number }>().id);
  });

const service = await startLetters();
await register(1);
await register(2);
await until(() => letters.length === 2);
console.log(`letters to ${letters.join(', ')}`);

await service.stop();
console.log('the letter service is down; patients register all the same');
for (const id of [3, 4, 5]) await register(id);
letters.length = 0;
const again = await startLetters();
await until(() => letters.length === 3);
console.log(`it is back and catches up: letters to ${letters.join(', ')}`);
await again.stop();

// What a stream keeps is limited by count, by size or by age. `old` drops the oldest, `new` refuses the newest.
const count = async (stream: string) => {
  let messages = 0;
  for await (const _ of bus.readStream({ stream })) messages++;
  return messages;
};
await bus.ensureStream({ name: 'three', subjects: ['three.>'], maxMessages: 3, discard: 'old' });
for (let id = 1; id <= 5; id++) await bus.store({ subject: `three.${id}`, payload: id });
console.log(`of 5 messages, a stream of 3 that discards the old keeps ${await count('three')}`);

await bus.ensureStream({ name: 'full', subjects: ['full.>'], maxMessages: 3, discard: 'new' });
let refused = 0;
for (let id = 1; id <= 5; id++)
  await bus.store({ subject: `full.${id}`, payload: id }).catch(() => {
    refused++;
  });
console.log(`one that discards the new keeps ${await count('full')} and refuses ${refused}`);

await bus.ensureStream({ name: 'small', subjects: ['small.>'], maxBytes: 4_000, discard: 'old' });
for (let id = 1; id <= 9; id++) await bus.store({ subject: `small.${id}`, payload: 'x'.repeat(1_000) });
console.log(`of 9 messages of 1,000 bytes, a stream of 4,000 bytes keeps ${await count('small')}`);

await bus.ensureStream({ name: 'brief', subjects: ['brief.>'], maxAgeMs: 500 });
await bus.store({ subject: 'brief.1', payload: 1 });
await until(async () => (await count('brief')) === 0);
console.log('a stream of half a second has forgotten its message');

// Interest: a message stays until everyone who is interested has acknowledged it, and no longer.
await bus.ensureStream({ name: 'interest', subjects: ['interest.>'], retention: 'interest' });
await bus.store({ subject: 'interest.1', payload: 'nobody is interested' });
await bus.ensureConsumer({ stream: 'interest', durable: 'audit' });
await bus.store({ subject: 'interest.2', payload: 'one is' });
console.log(`of 2 messages an interest stream keeps ${await count('interest')}, for its durable`);
const audit = await consume({ nats, stream: 'interest', durable: 'audit', db }, () => undefined);
await until(async () => (await count('interest')) === 0);
console.log('and none once that has acknowledged it');
await audit.stop();
await bus.close();
await db.end();
