import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ConsumedEvent, type Consumer, consume } from '../../src/consumer/index.ts';
import { enqueue, PostcommitError } from '../../src/index.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { openStage, type RunningRelay, type Stage } from '../guarantees/stage.ts';
import { isClear } from './clear-refusal.ts';
import {
  canReachSql,
  KNOCK,
  knockAtSql,
  type Refusal,
  reaches,
  SCRIPT_DOORS,
  SQL_DOORS,
  toOutboxEvent,
} from './doors.ts';
import { bytesOf, type Candidate, candidate, largeCandidate } from './event-arbitrary.ts';
import { howMany, seedFor } from './seed.ts';

const A_BATCH = 250;
const BATCHES = howMany(40);
const LARGE = 120;

let stage: Stage;
let relay: RunningRelay;
let client: pg.Client;
let consumer: Consumer;
let consumerPool: pg.Pool;
const consumed = new Map<string, ConsumedEvent[]>();
let small: readonly Candidate[];
let large: readonly Candidate[];
const consumerLines: { level: number }[] = [];

beforeAll(async () => {
  stage = await openStage();
  await stage.pool.query(`create table business (batch int); ${KNOCK}`);
  // Generating shares the event loop with the relay: on a busy machine it takes longer than a usual lease.
  // Before the relay runs: it shares this event loop, and this takes seconds.
  const seed = seedFor('events');
  small = fc.sample(candidate(stage.stream), { seed, numRuns: A_BATCH * BATCHES });
  large = fc.sample(largeCandidate(stage.stream), { seed, numRuns: LARGE });
  relay = await stage.startRelay({ leaseTtlMs: 60_000 });
  client = new pg.Client(stage.databaseUrl);
  await client.connect();
  consumerPool = new pg.Pool({ connectionString: stage.databaseUrl, max: 8 });
  consumerPool.on('error', () => undefined);
  consumer = await consume(
    {
      nats: stage.natsUrl,
      stream: stage.stream,
      durable: 'generated',
      db: consumerPool,
      prefetch: 500,
      concurrency: 8,
      logger: createLogger({ destination: { write: (line) => void consumerLines.push(JSON.parse(line)) } }),
    },
    (event) => void consumed.set(event.id, [...(consumed.get(event.id) ?? []), event]),
  );
});
afterAll(async () => {
  await consumer?.stop();
  await consumerPool?.end();
  await client?.end();
  await relay?.[Symbol.asyncDispose]();
  await stage?.[Symbol.asyncDispose]();
});

/** What the outbox must hold in the end, by event id. */
const expected = new Map<string, Candidate>();
const tally = { generated: 0, refused: 0, kept: 0 };

test('every generated event is refused in its transaction, by all doors alike, or carried byte for byte', async () => {
  for (let batch = 0; batch < BATCHES; batch++) {
    await throughTheDoors(small.slice(batch * A_BATCH, (batch + 1) * A_BATCH), batch);
  }
  for (let at = 0; at < LARGE; at += 20) await throughTheDoors(large.slice(at, at + 20), at);
  await stage.untilDrained(60_000);
  await expectUndisturbed();
  await expect.poll(() => consumed.size, { timeout: 60_000, interval: 100 }).toBe(expected.size);
  await expectCarried();
  expect(tally.generated).toBeGreaterThanOrEqual(howMany(10_000));
  // Neither verdict may be rare: a generator of nothing but nonsense would show little.
  expect(tally.kept).toBeGreaterThan(tally.generated / 3);
  expect(tally.refused).toBeGreaterThan(tally.generated / 10);
});

/** One business transaction that hands every event to every door, and keeps each accepted one by one of them. */
async function throughTheDoors(batch: readonly Candidate[], number: number): Promise<void> {
  await client.query('begin');
  await client.query('insert into business values ($1)', [number]);
  await client.query('savepoint before');
  const refused = await refusedBySql(batch);
  await expectScriptAgrees(batch, refused);
  await client.query('rollback to before');
  const accepted = batch.filter((one) => canReachSql(one) && !refused.has(one));
  const kept = accepted.filter(isTaken).map(withId);
  await keep(kept);
  await client.query('commit');
  tally.generated += batch.length;
  tally.refused += batch.length - accepted.length;
  tally.kept += kept.length;
}

/** What the doors in SQL refuse, all of them alike. */
async function refusedBySql(batch: readonly Candidate[]): Promise<ReadonlySet<Candidate>> {
  const requests = batch.flatMap((one) =>
    SQL_DOORS.filter((door) => reaches(door, one)).map((door) => ({ door, candidate: one, keep: false })),
  );
  const answers = await knockAtSql(client, requests);
  const refused = new Set<Candidate>();
  requests.forEach(({ candidate: one }, i) => {
    const answer = answers[i];
    if (answer === undefined) return;
    expectClear(answer, one);
    refused.add(one);
  });
  requests.forEach(({ door, candidate: one }, i) => {
    // A description of each of 30,000 would take longer than the doors do.
    if ((answers[i] !== undefined) !== refused.has(one))
      expect.fail(`${door} alone takes it: ${nameOf(one)}`);
  });
  return refused;
}

/** `enqueue()` takes what the doors in SQL take, and nothing else. */
async function expectScriptAgrees(
  batch: readonly Candidate[],
  refused: ReadonlySet<Candidate>,
): Promise<void> {
  const [good, bad] = [[] as Candidate[], [] as Candidate[]];
  for (const one of batch) (canReachSql(one) && !refused.has(one) ? good : bad).push(one);
  await enqueue(client, good.map(toOutboxEvent));
  await client.query('savepoint each');
  for (const one of bad) {
    const error = await enqueue(client, toOutboxEvent(one)).catch((thrown: unknown) => thrown);
    expect(error, `enqueue() against SQL: ${nameOf(one)}`).toBeInstanceOf(PostcommitError);
    expectClear(error as PostcommitError, one);
    // What only the database knows (the limits) fails there; the transaction goes on from the savepoint.
    if ((error as PostcommitError).cause !== undefined) await client.query('rollback to each');
  }
}

/** It names what is wrong with which field and what is allowed instead, and shows no payload. */
function expectClear(refusal: Refusal, one: Candidate): void {
  if (isClear(refusal)) return;
  expect.fail(`${nameOf(one)} is refused in these words: ${JSON.stringify(refusal)} ${refusal.message}`);
}

function nameOf({ payload, ...rest }: Candidate): string {
  return `${JSON.stringify(rest).slice(0, 600)} with ${payload.kind} of ${bytesOf(payload).length} bytes`;
}

/** Below the prefix the lane takes it; anywhere else it would be a dead letter, rightly. */
function isTaken({ subject }: Candidate): boolean {
  return subject.startsWith(`${stage.stream}.`);
}

function withId(one: Candidate): Candidate {
  const eventId = one.eventId ?? randomUUID();
  const kept = { ...one, eventId };
  expected.set(eventId.toLowerCase(), kept);
  return kept;
}

async function keep(accepted: readonly Candidate[]): Promise<void> {
  const doors = Object.entries(SCRIPT_DOORS);
  const all = doors.length + SQL_DOORS.length;
  const viaSql: { door: (typeof SQL_DOORS)[number]; candidate: Candidate; keep: true }[] = [];
  const viaScript: Candidate[][] = doors.map(() => []);
  accepted.forEach((one, i) => {
    const door = SQL_DOORS[(i % all) - doors.length];
    if (door !== undefined && reaches(door, one)) viaSql.push({ door, candidate: one, keep: true });
    else viaScript[i % doors.length]?.push(one);
  });
  for (const [i, [, write]] of doors.entries()) await write(client, (viaScript[i] ?? []).map(toOutboxEvent));
  const answers = await knockAtSql(client, viaSql);
  expect(answers.filter((answer) => answer !== undefined)).toEqual([]);
}

/** The handler saw each event once, and as the writer wrote it. */
async function expectCarried(): Promise<void> {
  const { rows } = await stage.pool.query('select event_id, payload from postcommit.outbox');
  const payloads = new Map<string, Buffer>(rows.map(({ event_id, payload }) => [event_id, payload]));
  expect(payloads.size).toBe(expected.size);
  for (const [id, one] of expected) {
    const [event, ...again] = consumed.get(id) ?? [];
    if (event === undefined || again.length > 0)
      throw new Error(`seen ${again.length} times more: ${nameOf(one)}`);
    expect([event.subject, event.key, event.type, event.headers], nameOf(one)).toEqual([
      one.subject,
      one.key ?? null,
      one.type ?? null,
      one.headers ?? {},
    ]);
    const stored = payloads.get(id) ?? Buffer.alloc(0);
    expect(Buffer.compare(event.payload, stored), nameOf(one)).toBe(0);
    // postcommit.enqueue takes jsonb, which writes the same value in another way.
    const same =
      Buffer.compare(stored, bytesOf(one.payload)) === 0 ||
      (one.payload.kind === 'json' && fc.stringify(event.json()) === fc.stringify(sorted(one.payload.value)));
    if (!same && one.payload.kind === 'json') expect(event.json(), nameOf(one)).toEqual(one.payload.value);
    else expect(same, nameOf(one)).toBe(true);
  }
}

function sorted(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

/** Nobody stumbled: no pause, no new term, nothing set aside, no handler tried twice. */
async function expectUndisturbed(): Promise<void> {
  const { rows } = await stage.pool.query('select left(subject, 80), reason from postcommit.dead_letters');
  expect(rows).toEqual([]);
  expect(relay.lines.filter(({ level }) => Number(level) > 30)).toEqual([]);
  expect(consumerLines.filter(({ level }) => Number(level) > 30)).toEqual([]);
  expect(relay.relay.status().lanes).toMatchObject([{ state: 'publishing' }]);
  expect(await stage.faults()).toEqual([]);
}
