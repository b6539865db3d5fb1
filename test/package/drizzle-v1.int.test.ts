import { afterAll, beforeAll, expect, test } from 'vitest';
import { createCheckout } from '../docs/checkout.ts';
import { createMigratedDatabase } from '../support/services.ts';
import { createEmptyProject, type EmptyProject, likeHere, pack } from './empty-project.ts';

// The peer range of drizzle-orm has two major versions. This repository is built with the older one; here is a project
// that has nothing but the newer.

let project: EmptyProject;
const resources = new AsyncDisposableStack();
beforeAll(async () => {
  const checkout = resources.use(await createCheckout());
  project = resources.use(await createEmptyProject());
  const packages = await Promise.all(['drizzle-orm-v1', 'pg', 'postgres'].map(likeHere));
  await project.install(await pack(checkout.path), ...packages);
});
afterAll(() => resources.disposeAsync());

test.each(['node-postgres', 'postgres-js'])(
  'the packed postcommit works where drizzle-orm is 1.0, on %s',
  async (driver) => {
    const database = await createMigratedDatabase();
    resources.defer(() => database.drop());
    await project.write('main.mjs', MAIN);
    await using running = project.start(`exec node main.mjs ${driver}`, { DATABASE_URL: database.url });
    expect(await running.exit, running.output).toBe(0);
    expect(running.output.trim().split('\n')).toEqual([
      'drizzle-orm 1',
      'outside-transaction',
      'event-invalid',
      'events.kept {"name":"Zoë"}',
      'events.listed {}',
      'events.within {}',
    ]);
  },
);

/** Enqueues in transactions that commit and that do not, and reads the outbox with the tables of `postcommit/schema`. */
const MAIN = `
import { readFileSync } from 'node:fs';
import { enqueue } from 'postcommit';
import { outbox } from 'postcommit/schema';

const { drizzle } = await import('drizzle-orm/' + process.argv[2]);
const db = drizzle(process.env.DATABASE_URL);
const { version } = JSON.parse(readFileSync('node_modules/drizzle-orm/package.json', 'utf8'));
console.log('drizzle-orm', version.split('.')[0]);
const event = (name, payload = {}) => ({ subject: 'events.' + name, payload });
const codeOf = (promise) => promise.then(() => 'done', ({ code }) => code);

console.log(await codeOf(enqueue(db, event('outside'))));
console.log(await codeOf(db.transaction((tx) => enqueue(tx, event('large', 'x'.repeat(1_000_001))))));
await db.transaction(async (tx) => {
  await enqueue(tx, event('kept', { name: 'Zoë' }));
  await enqueue(tx, [event('listed')]);
  await tx.transaction(async (nested) => {
    await enqueue(nested, event('undone'));
    nested.rollback();
  }).catch(() => undefined);
  await tx.transaction((nested) => enqueue(nested, event('within')));
});
await db.transaction(async (tx) => {
  await enqueue(tx, event('undone'));
  tx.rollback();
}).catch(() => undefined);
for (const { subject, payload } of await db.select().from(outbox).orderBy(outbox.position))
  console.log(subject, Buffer.from(payload).toString());
await db.$client.end();
`;
