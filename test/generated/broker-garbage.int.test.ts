import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { PostcommitError } from '../../src/index.ts';
import { classifyReply } from '../../src/jetstream/index.ts';
import { sleep } from '../../src/lifecycle/abort.ts';
import { createRelay, type RelayOptions } from '../../src/relay/index.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { createMigratedDatabase, type ScratchDatabase, scratchName } from '../support/services.ts';
import {
  type FakeNats,
  type FakeNatsOptions,
  greetingOf,
  INFO,
  type Mischief,
  type Question,
  startFakeNats,
} from './fake-nats.ts';
import { ackGarbage, apiGarbage, DEAFENING, HARMLESS } from './garbage-arbitrary.ts';
import { howMany, seedFor } from './seed.ts';

interface Play {
  readonly fake: FakeNats;
  readonly pool: pg.Pool;
  readonly stream: string;
  readonly lines: readonly { readonly event: string; readonly level: number; readonly reason?: string }[];
  readonly relay: ReturnType<typeof createRelay>;
  write(count: number): Promise<void>;
  published(): Promise<number>;
}

async function play(
  ordering: 'stream' | 'key',
  options: Partial<RelayOptions> & { fake?: Partial<FakeNatsOptions> } = {},
): Promise<Play> {
  const { fake: fakeOptions, ...relayOptions } = options;
  const stream = scratchName('fake');
  const fake = await startFakeNats({ stream, subjects: [`${stream}.>`], ...fakeOptions });
  onTestFinished(() => fake[Symbol.asyncDispose]());
  const database = await createMigratedDatabase();
  const pool = new pg.Pool({ connectionString: database.url });
  pool.on('error', () => undefined);
  onTestFinished(async () => {
    await pool.end();
    await database.drop();
  });
  const lines: { event: string; level: number; reason?: string }[] = [];
  const metrics = createMetrics();
  const relay = createRelay({
    databaseUrl: () => database.url,
    nats: () => ({ servers: [fake.url] }),
    lanes: [{ stream, subjects: [`${stream}.>`], ordering }],
    logger: createLogger({ destination: { write: (line) => void lines.push(JSON.parse(line)) } }),
    metrics,
    ...relayOptions,
  });
  onTestFinished(() => relay.stop({ graceMs: 0 }));
  let written = 0;
  return {
    fake,
    pool,
    stream,
    lines,
    relay,
    async write(count) {
      await pool.query(
        `insert into postcommit.outbox (subject, key, payload)
         select $1, 'key-' || i % 5, convert_to(i::text, 'UTF8') from generate_series($2::int, $3::int) i`,
        [`${stream}.event`, written + 1, written + count],
      );
      written += count;
    },
    async published() {
      const { values } = await metrics.publishedEvents.get();
      return values.reduce((sum, { value }) => sum + value, 0);
    },
  };
}

const numbersIn = ({ fake }: Play) => fake.stored.map(({ payload }) => Number(payload.toString()));

/** Everything is in the stream once, in the order it was written (of its key). */
async function expectComplete(here: Play, ordering: 'stream' | 'key', count: number): Promise<void> {
  const { fake, relay, pool, lines } = here;
  const why = () => JSON.stringify([relay.status().lanes, relay.status().reason, lines.slice(-3)]);
  await expect
    .poll(() => (fake.stored.length >= count ? 'all' : `${fake.stored.length} ${why()}`), {
      timeout: 20_000,
      interval: 20,
    })
    .toBe('all');
  await expect.poll(() => relay.status().lanes[0]?.pending, { timeout: 20_000, interval: 20 }).toBe(0);
  const all = Array.from({ length: count }, (_, i) => i + 1);
  const numbers = numbersIn(here);
  if (ordering === 'stream') expect(numbers).toEqual(all);
  else
    for (let key = 0; key < 5; key++)
      expect(numbers.filter((number) => number % 5 === key)).toEqual(
        all.filter((number) => number % 5 === key),
      );
  expect((await pool.query('select * from postcommit.dead_letters')).rows).toEqual([]);
}

/** Neither the log nor the broker may be flooded for as long as something is wrong. */
function expectBounded({ lines, fake }: Play, seconds: number): void {
  expect(lines.length, JSON.stringify(lines.slice(-20))).toBeLessThan(40 + 20 * seconds);
  expect(fake.asked).toBeLessThan(3_000 + 1_500 * seconds);
}

test('nothing that is no acknowledgement is taken for one', () => {
  const seed = seedFor('acknowledgements');
  const kinds = new Set<string>();
  for (const garbage of fc.sample(ackGarbage('key'), { seed, numRuns: howMany(10_000) })) {
    const { answers = [], status } = garbage('orders', 7);
    for (const answer of answers) {
      const code = Number.parseInt(status ?? '0', 10) || 0;
      const outcome = classifyReply({ data: Buffer.from(answer), status: code }, 'orders');
      const about = `${status} ${String(answer).slice(0, 200)}`;
      expect(['duplicate', 'ambiguous', 'unavailable', 'saturated'], about).toContain(outcome.kind);
      if (outcome.kind !== 'duplicate')
        expect('reason' in outcome && outcome.reason.length, about).toBeGreaterThan(5);
      kinds.add(outcome.kind);
    }
  }
  expect(kinds.size).toBe(4);
});

const EVENTS = 60;

test.each(['stream', 'key'] as const)(
  'while nothing is acknowledged nothing is counted, and it says what is wrong (%s)',
  async (ordering) => {
    const garbage = fc.sample(ackGarbage(ordering), { seed: seedFor(`silence, ${ordering}`), numRuns: 500 });
    const here = await play(ordering);
    await here.relay.start();
    let used = 0;
    here.fake.mischief = ({ kind, sequence }) =>
      kind === 'publish' ? { stores: false, ...pick(garbage, used++)(here.stream, sequence) } : undefined;
    await here.write(EVENTS);
    const reason = () => here.relay.status().lanes[0]?.reason ?? '';
    await expect.poll(reason, { timeout: 5_000, interval: 5 }).toMatch(/.{10}/);
    await expect.poll(() => used, { timeout: 5_000, interval: 5 }).toBeGreaterThan(10);
    await sleep(1_200); // The counter is brought up to date once a second.
    expect(await here.published()).toBe(0);
    expect(here.fake.stored).toEqual([]);
    expectBounded(here, 10);
    here.fake.mischief = undefined;
    await expectComplete(here, ordering, EVENTS);
    await expect.poll(() => here.published(), { timeout: 5_000 }).toBe(EVENTS);
  },
);

test.each(['stream', 'key'] as const)(
  'a broker that answers garbage every now and then loses nothing, doubles nothing and stops nothing (%s)',
  async (ordering) => {
    const seed = seedFor(`now and then, ${ordering}`);
    const acks = fc.sample(ackGarbage(ordering), { seed, numRuns: howMany(2_000) });
    const answers = fc.sample(apiGarbage(), { seed, numRuns: howMany(2_000) });
    const random = seededRandom(seed);
    const here = await play(ordering);
    await here.relay.start();
    const used = { acks: 0, answers: 0 };
    here.fake.mischief = (question) =>
      question.kind === 'publish'
        ? misjudge(question, random, () => pick(acks, used.acks++)(here.stream, question.sequence))
        : misinform(question, random, () => pick(answers, used.answers++)(question));
    let written = 0;
    const startedAtMs = performance.now();
    while (performance.now() - startedAtMs < 6_000) {
      await here.write(10);
      written += 10;
      await sleep(20);
    }
    expect(used.acks).toBeGreaterThan(5);
    expect(used.answers).toBeGreaterThan(2);
    expectBounded(here, 6);
    here.fake.mischief = undefined;
    await expectComplete(here, ordering, written);
    // Outside of `stream` ordering a comparison counts anew what was confirmed after the newest row of the log was written.
    const counted = async () => (await here.published()) - written;
    if (ordering === 'stream') await expect.poll(counted, { timeout: 5_000 }).toBe(0);
    else await expect.poll(counted, { timeout: 5_000 }).toBeGreaterThanOrEqual(0);
  },
);

/** One answer in six is wrong, late, given twice, or the last before the connection ends. */
function misjudge({ honest }: Question, random: () => number, garbage: () => Mischief): Mischief | undefined {
  const dice = random();
  if (dice < 0.1) return { stores: random() < 0.5, ...garbage() };
  if (dice < 0.13) return { answers: [JSON.stringify(honest), JSON.stringify(honest)] };
  if (dice < 0.16) return { delayMs: 20 * random() };
  return dice < 0.165 ? { stores: random() < 0.5, answers: [], closes: true } : undefined;
}

/** A comparison with the stream reads many messages, and one bad answer among them puts it off. */
function misinform({ kind }: Question, random: () => number, garbage: () => Mischief): Mischief | undefined {
  return random() < (kind === 'get' ? 0.01 : 0.15) ? garbage() : undefined;
}

// The client stops reading where it understands nothing any more, and notices by its pings, after some ten seconds: each
// of the plays has one line of this kind, and they run side by side.
test('whatever a server says outside of any message, the relay publishes again', async () => {
  const seed = seedFor('lines');
  const plays = 6;
  const deafening = fc.sample(fc.shuffledSubarray([...DEAFENING], { minLength: plays }), {
    seed,
    numRuns: 1,
  })[0];
  await Promise.all(
    Array.from({ length: plays }, async (_, lane) => {
      await sleep(100 * lane);
      const here = await play('stream');
      await here.relay.start();
      let written = 0;
      const harmless = HARMLESS.filter((_line, i) => i % plays === lane);
      for (const raw of [...harmless, String(deafening?.[lane])]) {
        await here.write(3);
        await expectComplete(here, 'stream', written + 3);
        here.fake.send(raw);
        await here.write(3);
        written += 6;
        await expectComplete(here, 'stream', written);
      }
      expectBounded(here, 20);
    }),
  );
});

const GREETINGS = [
  '',
  'INFO\r\n',
  'INFO {}\r\n',
  'INFO null\r\n',
  'INFO {"version": 5, "headers": "x"}\r\n',
  'INFO [1,2\r\n',
  'HTTP/1.1 200 OK\r\n\r\n',
  'SSH-2.0-OpenSSH_9\r\n',
  "-ERR 'Authorization Violation'\r\n",
  '\u0000\u0001\u0002\r\n',
  `INFO ${'x'.repeat(70_000)}\r\n`,
  greetingOf({ ...INFO, tls_required: true }),
  greetingOf({ ...INFO, max_payload: 0 }),
  greetingOf({ ...INFO, max_payload: 'x', nonce: 5 }),
  greetingOf({ ...INFO, version: 'banana' }),
];

test('a start either works or says why it does not', async () => {
  const answers = fc.sample(apiGarbage(), { seed: seedFor('starts'), numRuns: 40 });
  const greeted = GREETINGS.map((greeting) => ({ greeting, mischief: undefined }));
  const answered = answers.map((mischief) => ({ greeting: undefined, mischief }));
  await Promise.all(
    [...greeted, ...answered].map(async ({ greeting, mischief }, i) => {
      await sleep(40 * i);
      const error = await startAgainst(greeting, mischief);
      if (error === undefined) return;
      expect(error, String(greeting)).toBeInstanceOf(PostcommitError);
      expect((error as PostcommitError).message.length).toBeGreaterThan(20);
    }),
  );
});

let shared: ScratchDatabase;
beforeAll(async () => {
  shared = await createMigratedDatabase();
});
afterAll(() => shared?.drop());

/** What a start throws; undefined if it works. */
async function startAgainst(
  greeting: string | undefined,
  mischief: ((question: Question) => Mischief) | undefined,
): Promise<unknown> {
  const stream = scratchName('fake');
  const subjects = [`${stream}.>`];
  await using fake = await startFakeNats({
    stream,
    subjects,
    ...(greeting === undefined ? {} : { greeting }),
  });
  fake.mischief = mischief;
  const relay = createRelay({
    databaseUrl: () => shared.url,
    nats: () => ({ servers: [fake.url] }),
    lanes: [{ stream, subjects }],
  });
  try {
    await relay.start();
    return undefined;
  } catch (error) {
    return error;
  } finally {
    await relay.stop({ graceMs: 0 });
  }
}

function pick<Item>(items: readonly Item[], at: number): Item {
  return items[at % items.length] as Item;
}
