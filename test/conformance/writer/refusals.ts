import type { Refusal, RequestedEvent } from '../driver.ts';
import { createScratchRole } from '../scratch-role.ts';
import type { Stage } from '../stage.ts';
import { expectSame, type Rule, Unmet } from '../verdict.ts';
import { expectPublished } from './written.ts';

export const REFUSALS: readonly Rule<Stage>[] = [
  {
    id: 'P-W9',
    about: 'what is refused is an error that says why, and nothing is written',
    check: reportsRefusals,
  },
  { id: 'P-W13', about: 'the privileges of a writer are enough', check: needsLittle },
];

interface Case {
  readonly event: Partial<RequestedEvent>;
  /** In the server's sentence. */
  readonly says: string;
}

const CASES: readonly Case[] = [
  { event: { subject: 'events.*' }, says: 'cannot be published to' },
  { event: { subject: '$JS.API' }, says: 'cannot be published to' },
  { event: { subject: 'a..b' }, says: 'cannot be published to' },
  { event: { key: ' p1' }, says: 'key is empty' },
  { event: { key: 'k'.repeat(513) }, says: 'key is empty' },
  { event: { type: '' }, says: 'type is empty' },
  { event: { headers: { 'a b': 'c' } }, says: "header name 'a b' is not allowed" },
  { event: { headers: { 'nats-rollup': 'all' } }, says: "header 'nats-rollup' is reserved" },
  { event: { headers: { 'Postcommit-Key': 'k' } }, says: "header 'Postcommit-Key' is reserved" },
  { event: { headers: { a: 'b\nc' } }, says: 'line break' },
  { event: { headers: { a: 'x'.repeat(60_000) } }, says: 'larger than the limit of 60000 bytes' },
];

async function reportsRefusals(stage: Stage): Promise<void> {
  await using driver = stage.drive();
  const begin = () => driver.do({ do: 'begin' });
  let byServer = 0;
  for (const { event, says } of CASES) {
    const what = `${JSON.stringify(event).slice(0, 80)} to be refused`;
    await begin();
    await driver.do({ do: 'enqueue', event: { subject: stage.subject('before-a-refusal'), payload: {} } });
    const refused = { subject: stage.subject('refused'), payload: {}, ...event };
    const answer = await driver.ask({ do: 'enqueue', event: refused });
    if (answer.kind === 'done') throw new Unmet(what, 'it was answered with "ok": true');
    if (answer.error.sqlstate !== undefined) {
      expectOfServer(what, says, answer.error);
      byServer += 1;
    }
    await driver.do({ do: 'rollback' });
  }
  if (byServer === 0) throw new Unmet("the server's errors to be told with their SQLSTATE", 'none had one');
  await expectPublished(stage, []);
  // The connection serves on.
  const subject = stage.subject('after-refusals');
  await begin();
  await driver.do({ do: 'enqueue', event: { subject, payload: {} } });
  await driver.do({ do: 'commit' });
  await expectPublished(stage, [subject]);
}

/** What a client finds out by itself it may say in its own words; what the server says has to come through. */
function expectOfServer(what: string, says: string, { message, sqlstate, hint = '' }: Refusal): void {
  if (!message.includes(says))
    throw new Unmet(`${what} with a message that says "${says}"`, `it says "${message.slice(0, 300)}"`);
  expectSame(`${what} with the SQLSTATE`, { seen: sqlstate, expected: '23514' });
  if (hint === '') throw new Unmet(`${what} with the server's hint`, 'there was none');
}

/** The grants of docs/roles-and-privileges.md, and what the change of an aggregate needs. */
const GRANTS = `
  GRANT USAGE ON SCHEMA postcommit, conformance TO $role;
  GRANT SELECT, INSERT, UPDATE ON conformance.aggregates TO $role;
  GRANT INSERT (subject, payload, key, type, headers, event_id) ON postcommit.outbox TO $role;
  GRANT SELECT ON SEQUENCE postcommit.segment, postcommit.parked_until TO $role;
  GRANT EXECUTE ON FUNCTION postcommit.max_payload, postcommit.enqueue, postcommit.enqueue_bytes,
    postcommit.headers_acceptable, postcommit.refuse TO $role;`;

async function needsLittle(stage: Stage): Promise<void> {
  await using role = await createScratchRole(stage, GRANTS);
  await using driver = stage.drive(role);
  const subject = stage.subject('by-a-writer');
  await driver.do({ do: 'begin' });
  await driver.do({
    do: 'change',
    aggregate: 'w13',
    value: 'v',
    event: { subject, key: 'w13', payload: {} },
  });
  await driver.do({ do: 'commit' });
  await expectPublished(stage, [subject]);
}
