import { spawn } from 'node:child_process';
import { once } from 'node:events';
import pg from 'pg';
import { openBus } from 'postcommit/nats';
import { createRelay } from 'postcommit/relay';
import { until } from '../waiting.ts';

const { NATS_URL: nats = 'nats://127.0.0.1:4222', DATABASE_URL: databaseUrl = '' } = process.env;
const db = new pg.Pool({ connectionString: databaseUrl });
const bus = await openBus({ nats });
await db.query('create table patients (id text primary key)');
await bus.ensureStream({ name: 'patients', subjects: ['ng.patient.>'] });

/** Registers one patient in a process of its own, which dies where it is told to. */
async function register(how: string, id: string): Promise<void> {
  const script = new URL('register.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [...process.execArgv, script, how, id], { stdio: 'inherit' });
  await once(child, 'exit');
}

async function compare(stream: string): Promise<string> {
  const { rows } = await db.query('select id from patients order by id');
  const events: string[] = [];
  for await (const event of bus.readStream({ stream })) events.push(event.key ?? '?');
  return `registered: ${rows.map(({ id }) => id).join(', ') || 'nobody'}; events of: ${events.sort().join(', ') || 'nobody'}`;
}

// Two writes, to the database and to NATS. Whichever comes first, a crash between them makes them disagree.
await register('save, crash, publish', 'ada');
console.log(`dual write, database first   ${await compare('patients')}  -> an event is lost`);
await register('publish, crash, save', 'bob');
console.log(`dual write, NATS first       ${await compare('patients')}  -> an event is invented`);

// One write: patient and event are in one transaction, and the relay publishes what was committed.
await db.query('delete from patients');
const relay = createRelay({
  databaseUrl: () => databaseUrl,
  nats: () => ({ servers: nats.split(',') }),
  lanes: [{ stream: 'outbox', subjects: ['gb.patient.>'] }],
});
await relay.start();
await register('outbox, crash before commit', 'cleo');
await register('outbox, crash after commit', 'dan');
await register('outbox, rolled back', 'eve');
const stored = async () => {
  let events = 0;
  for await (const _ of bus.readStream({ stream: 'outbox' })) events++;
  return events;
};
await until(async () => (await stored().catch(() => 0)) === 1);
console.log(`outbox                       ${await compare('outbox')}  -> neither`);
await relay.stop();
await bus.close();
await db.end();
