import type { Bench, BenchContext } from '../context.ts';
import { createRivalOutbox, fillRivalOutbox, startRival } from '../load/pg-transactional-outbox.ts';
import { createTextbookOutbox, fillTextbookOutbox, startTextbookRelay } from '../load/textbook-relay.ts';
import { type BenchOutcome, type BenchResult, type Faults, resultOf } from '../report/result.ts';
import { type RelayProcess, startRelay } from '../servers/relay-process.ts';
import { createStream, openSite, type Site } from '../servers/site.ts';
import { countFaults, readStream, waitForMessages } from '../servers/stream-facts.ts';

const PAYLOAD_BYTES = 256;
const DRAIN_TIMEOUT_MS = 60_000;

interface Contender {
  /** Fewer for the slow ones, so that each drains for about as long: a smaller backlog is not to their disadvantage. */
  readonly events: number;
  readonly quickEvents: number;
  /** Whether it has postcommit's schema and makes its stream itself. */
  readonly isOurs?: boolean;
  /** Of each message: its number, from 1 on. */
  readonly header: string;
  fill(site: Site, count: number): Promise<void>;
  start(site: Site): Promise<RelayProcess>;
}

const textbook = {
  header: 'Bench-Number',
  async fill({ pool, stream }: Site, count: number) {
    await createTextbookOutbox(pool);
    await fillTextbookOutbox(pool, { stream, count, bytes: PAYLOAD_BYTES });
    await pool.query('analyze outbox');
  },
};

/** Each is asked for the same: that every row of its backlog is in the stream, with a message id. */
const CONTENDERS = {
  postcommit: {
    events: 100_000,
    quickEvents: 30_000,
    isOurs: true,
    header: 'Postcommit-Position',
    async fill({ pool, stream }: Site, count: number) {
      await pool.query(
        `insert into postcommit.outbox (subject, payload)
         select $1 || '.bench', convert_to(repeat('x', $2), 'UTF8') from generate_series(1, $3)`,
        [stream, PAYLOAD_BYTES, count],
      );
    },
    start: (site: Site) => startRelay(site),
  },
  'textbook-one-by-one': {
    ...textbook,
    events: 10_000,
    quickEvents: 2_000,
    start: (site: Site) => startTextbookRelay(site, { publishing: 'one-by-one' }),
  },
  /** As many in flight as postcommit has, and a third faster with them than with batches of 100. */
  'textbook-in-parallel': {
    ...textbook,
    events: 50_000,
    quickEvents: 10_000,
    start: (site: Site) => startTextbookRelay(site, { publishing: 'in-parallel', batch: 1_000 }),
  },
  /** Its other listener needs wal_level=logical; seen at 2,700 events/s without order and 1,000 in order. */
  'pg-transactional-outbox': {
    events: 3_000,
    quickEvents: 1_000,
    header: 'Bench-Number',
    async fill({ pool, stream }: Site, count: number) {
      await createRivalOutbox(pool, stream);
      await fillRivalOutbox(pool, { stream, count, bytes: PAYLOAD_BYTES });
      await pool.query('analyze outbox');
    },
    start: startRival,
  },
} satisfies Record<string, Contender>;

type Name = keyof typeof CONTENDERS;
const NAMES = Object.keys(CONTENDERS) as Name[];

interface Run {
  readonly rate: number;
  readonly relayMicrosPerEvent: number;
  readonly postgresMicrosPerEvent: number;
  readonly faults: Faults;
}

/** A backlog to a stream, by postcommit and by what one would write or install instead. */
export const rivals: Bench = {
  summary: 'a backlog to a stream, beside the relay of the textbooks and one from npm',
  async run(context) {
    const runs = new Map<Name, Run[]>(NAMES.map((name) => [name, []]));
    for (let i = 1; i <= context.runs; i++) {
      for (const name of NAMES) {
        const result = await measure(context, { name, database: `rivals_${i}` });
        runs.get(name)?.push(result);
        context.note(
          `rivals ${i}/${context.runs} ${name}: ${Math.round(result.rate)} events/s, CPU an event ${result.relayMicrosPerEvent.toFixed(1)} us of the relay and ${result.postgresMicrosPerEvent.toFixed(1)} us of PostgreSQL`,
        );
      }
    }
    return outcomeOf((name) => runs.get(name) ?? []);
  },
};

async function measure(
  context: BenchContext,
  { name, database }: { name: Name; database: string },
): Promise<Run> {
  const contender: Contender = CONTENDERS[name];
  const { header, isOurs = false } = contender;
  const count = context.quick ? contender.quickEvents : contender.events;
  await using site = await openSite(context, { name: database, migrated: isOurs });
  const { natsUrl, stream } = site;
  await contender.fill(site, count);
  if (!isOurs) await createStream(natsUrl, stream);
  await site.pool.query('checkpoint');
  const before = await context.serverCpu();
  await using relay = await contender.start(site);
  await waitForMessages(natsUrl, { stream, count, timeoutMs: DRAIN_TIMEOUT_MS });
  const [after, usage] = await Promise.all([context.serverCpu(), relay.usage()]);
  await relay.stop();
  const facts = await readStream(natsUrl, stream, header);
  const expected = Array.from({ length: count }, (_, i) => i + 1);
  return {
    rate: facts.count / facts.seconds,
    relayMicrosPerEvent: (usage.cpuMicros - relay.atReady.cpuMicros) / count,
    postgresMicrosPerEvent: (after.postgresMicros - before.postgresMicros) / count,
    faults: countFaults(facts.numbers, expected),
  };
}

function outcomeOf(runsOf: (name: Name) => readonly Run[]): BenchOutcome {
  const rates = (name: Name) => ({ name, values: runsOf(name).map(({ rate }) => rate) });
  const faults = (name: Name) => runsOf(name).map((run) => run.faults);
  const others = NAMES.filter((name) => name !== 'postcommit');
  const own = { unit: 'events/s', values: rates('postcommit').values, faults: faults('postcommit') };
  return {
    results: [
      ...others.map((name) => resultOf({ ...own, name: `postcommit-of-${name}`, against: rates(name) })),
      ...others.map((name) => resultOf({ ...rates(name), unit: 'events/s', faults: faults(name) })),
      ...cpuOf('relay-cpu', (name) => runsOf(name).map((run) => run.relayMicrosPerEvent)),
      ...cpuOf('postgres-cpu', (name) => runsOf(name).map((run) => run.postgresMicrosPerEvent)),
    ],
  };
}

/** For each event: postcommit's, then what the others take of it. */
function cpuOf(what: string, valuesOf: (name: Name) => readonly number[]): BenchResult[] {
  const own = { name: `postcommit-${what}-per-event`, values: valuesOf('postcommit') };
  return NAMES.map((name) =>
    name === 'postcommit'
      ? resultOf({ ...own, unit: 'us' })
      : resultOf({ name: `${name}-${what}-per-event`, unit: 'us', values: valuesOf(name), against: own }),
  );
}
