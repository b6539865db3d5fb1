import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ConsumedEvent, type Consumer, consume } from '../../src/consumer/index.ts';
import { PostcommitError } from '../../src/index.ts';
import { isClear } from '../generated/clear-refusal.ts';
import {
  canReachSql,
  KNOCK,
  knockAtSql,
  type Refusal,
  reaches,
  SCRIPT_DOORS,
  SQL_DOORS,
  toOutboxEvent,
} from '../generated/doors.ts';
import { bytesOf, type Candidate } from '../generated/event-arbitrary.ts';
import { openStage, type RunningRelay, type Stage } from '../guarantees/stage.ts';
import { EVENT_IDS } from './event-ids.ts';
import { HEADERS } from './headers.ts';
import { type HostileEvent, titleOf, toCandidate } from './hostile-event.ts';
import { KEYS, TYPES } from './keys.ts';
import { PAYLOADS } from './payloads.ts';
import { CAPTURED, SUBJECTS } from './subjects.ts';

const TABLES = {
  subject: SUBJECTS,
  key: KEYS,
  type: TYPES,
  headers: HEADERS,
  payload: PAYLOADS,
  'event id': EVENT_IDS,
};

let stage: Stage;
let relay: RunningRelay;
let client: pg.Client;
let consumer: Consumer;
let consumerPool: pg.Pool;
const consumed = new Map<number, ConsumedEvent>();

beforeAll(async () => {
  stage = await openStage({ config: { subjects: CAPTURED } });
  await stage.pool.query(KNOCK);
  relay = await stage.startRelay({ leaseTtlMs: 60_000, lane: { subjects: CAPTURED } });
  client = new pg.Client(stage.databaseUrl);
  await client.connect();
  consumerPool = new pg.Pool({ connectionString: stage.databaseUrl });
  consumerPool.on('error', () => undefined);
  consumer = await consume(
    { nats: stage.natsUrl, stream: stage.stream, durable: 'curated', db: consumerPool },
    (event) => void consumed.set(Number(event.position), event),
  );
});
afterAll(async () => {
  await consumer?.stop();
  await consumerPool?.end();
  await client?.end();
  await relay?.[Symbol.asyncDispose]();
  await stage?.[Symbol.asyncDispose]();
});

test.each([
  ['subject', 50],
  ['headers', 50],
  ['payload', 20],
  ['key', 20],
  ['type', 20],
  ['event id', 10],
] as const)('the table of %s has %i entries or more, of both verdicts, no two alike', (field, least) => {
  const table: readonly HostileEvent[] = TABLES[field];
  expect(table.length).toBeGreaterThanOrEqual(least);
  expect(new Set(table.map(({ verdict }) => verdict === 'carried')).size).toBe(2);
  expect(new Set(table.map(titleOf)).size).toBe(table.length);
});

/** An event that a door took. */
interface Written {
  readonly door: string;
  readonly hostile: HostileEvent;
  readonly candidate: Candidate;
}

/** In the order of their positions. */
const written: Written[] = [];

const rows = Object.entries(TABLES).flatMap(([field, table]) =>
  table.map((hostile) => [`${field}, ${titleOf(hostile)}`, hostile] as const),
);

test.each(rows)('%s', async (title, hostile) => {
  const candidate = toCandidate(hostile);
  await client.query('begin; savepoint knock');
  try {
    const answers = await knockAtAll(hostile, candidate);
    for (const [door, refusal] of answers) expectVerdict(hostile, refusal, `${title}: ${door}`);
    await client.query('commit');
    if (hostile.verdict === 'carried')
      for (const [door] of answers) written.push({ door, hostile, candidate });
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
});

/** What each door says that the event can reach; undefined where it took the event, which stays in the transaction. */
async function knockAtAll(
  { only }: HostileEvent,
  candidate: Candidate,
): Promise<(readonly [door: string, refusal: Refusal | undefined])[]> {
  const answers: [string, Refusal | undefined][] = [];
  for (const door of Object.keys(SCRIPT_DOORS)) answers.push([door, await knockAtScript(door, candidate)]);
  if (only === 'script' || !canReachSql(candidate)) return answers;
  const doors = SQL_DOORS.filter((door) => reaches(door, candidate));
  const refusals = await knockAtSql(
    client,
    doors.map((door) => ({ door, candidate, keep: true })),
  );
  return [...answers, ...doors.map((door, i): [string, Refusal | undefined] => [door, refusals[i]])];
}

async function knockAtScript(door: string, candidate: Candidate): Promise<Refusal | undefined> {
  try {
    await SCRIPT_DOORS[door]?.(client, [toOutboxEvent(candidate)]);
    return undefined;
  } catch (error) {
    if (!(error instanceof PostcommitError)) throw error;
    if (error.cause === undefined) return error;
    // Only the limits are left to the database, which alone knows them.
    expect(error.message).toContain('larger than the limit');
    // One savepoint does for all: either every door takes it, or none does.
    await client.query('rollback to knock');
    return error;
  }
}

function expectVerdict({ verdict }: HostileEvent, refusal: Refusal | undefined, about: string): void {
  if (verdict === 'carried') {
    expect(refusal, about).toBeUndefined();
    return;
  }
  expect(refusal?.message, about).toMatch(verdict);
  expect(refusal && isClear(refusal), `${about}: ${refusal?.message}`).toBe(true);
}

test('a relay publishes every carried one, and a consumer sees it as it was written', async () => {
  await stage.untilDrained();
  const { rows: stored } = await stage.pool.query('select position from postcommit.outbox order by position');
  expect(stored.length).toBe(written.length);
  const held = await stage.messages();
  expect(held.map(({ position }) => position)).toEqual(stored.map(({ position }) => Number(position)));
  const first = firstOfEachId(
    written,
    held.map(({ eventId }) => eventId),
  );
  await expect.poll(() => consumed.size, { timeout: 20_000, interval: 20 }).toBe(first.size);
  for (const [i, one] of written.entries()) {
    const { position, eventId, subject } = held[i] ?? expect.fail('no message');
    expect(subject).toBe(one.candidate.subject);
    if (first.get(eventId) === i) expectCarried(one, consumed.get(position));
  }
  expect((await stage.pool.query('select reason from postcommit.dead_letters')).rows).toEqual([]);
  expect(relay.lines.filter(({ level }) => Number(level) > 30)).toEqual([]);
  expect(await stage.faults()).toEqual([]);
});

/** An id of the table's went through each door, and a consumer makes one effect of them. */
function firstOfEachId(all: readonly Written[], ids: readonly string[]): Map<string, number> {
  const first = new Map<string, number>();
  all.forEach(({ candidate }, i) => {
    const id = ids[i] ?? '';
    if (candidate.eventId) expect(id).toBe(candidate.eventId.toLowerCase());
    if (!first.has(id)) first.set(id, i);
  });
  return first;
}

function expectCarried({ door, hostile, candidate }: Written, event: ConsumedEvent | undefined): void {
  const about = `${titleOf(hostile)}: ${door}`;
  const { subject, key, type, headers, payload } = candidate;
  expect(event, about).toMatchObject({ subject, key: key ?? null, type: type ?? null });
  expect(event?.headers, about).toEqual(headers ?? {});
  const expected = Buffer.from(bytesOf(payload));
  // postcommit.enqueue takes jsonb, which writes the same value in another way.
  const seen = Buffer.from(
    door === 'postcommit.enqueue' ? JSON.stringify(event?.json()) : (event?.payload ?? []),
  );
  expect(Buffer.compare(seen, expected), about).toBe(0);
}
