import type { Bench, BenchContext } from '../context.ts';
import { type ConsumerProcess, startConsumerProcess } from '../load/consumer-process.ts';
import { createEffectsTable, forgetEffects } from '../load/effects-table.ts';
import { curveOf, type Latencies, merged } from '../load/latencies.ts';
import { createTextbookOutbox, startTextbookRelay } from '../load/textbook-relay.ts';
import { measureLatency, type Path, type Timed } from '../load/timed-events.ts';
import { type BenchOutcome, type BenchResult, type Measured, type Plot, resultOf } from '../report/result.ts';
import { startRelay } from '../servers/relay-process.ts';
import { createStream, openSite } from '../servers/site.ts';

interface Variant {
  readonly name: string;
  readonly path: 'postcommit' | 'textbook';
  readonly perSecond: number;
  /** Undefined: nobody consumes. */
  readonly consumer?: (typeof CONSUMERS)[number];
}

/**
 * One event a transaction is what `consume()` does unless it is told otherwise. On two cores that everything shares, that does
 * not keep up with 1,000 events/s (`consumers` says how far it gets): there a queue's length would be measured.
 */
const VARIANTS = [
  { name: '1000/s', path: 'postcommit', perSecond: 1_000, consumer: 'batch-100' },
  { name: '500/s, one a transaction', path: 'postcommit', perSecond: 500, consumer: 'one' },
  { name: '100/s, one a transaction', path: 'postcommit', perSecond: 100, consumer: 'one' },
  { name: '5000/s', path: 'postcommit', perSecond: 5_000 },
  { name: 'textbook 1000/s', path: 'textbook', perSecond: 1_000 },
] as const satisfies readonly Variant[];
type Variants = readonly (typeof VARIANTS)[number][];
type Name = Variants[number]['name'];

/** A look is at the one that the design names, and at the baseline. */
function variantsOf({ quick }: BenchContext): Variants {
  return VARIANTS.filter(({ path, name }) => !quick || name === '1000/s' || path === 'textbook');
}

const CONSUMERS = ['one', 'batch-100'] as const;
type Consumers = Readonly<Record<(typeof CONSUMERS)[number], ConsumerProcess>>;
/** Of the relay of the textbooks, see `baselines/textbook-relay.ts`. */
const TEXTBOOK_POLL_MS = 100;

/**
 * Single-row transactions that arrive at random, through the relay and `consume()`. All latencies begin when the write was
 * meant to begin: waiting for a connection, the transaction and its commit are part of them. `stored` ends at the time
 * that the stream gives the message, `handler` when the handler is called.
 */
export const latency: Bench = {
  summary: 'from a write to its stream and to a consumer, at 100, 1,000 and 5,000 events/s',
  async run(context) {
    await using site = await openSite(context, { name: 'latency', connections: 32 });
    const textbookSite = { name: 'latency_textbook', connections: 32, migrated: false };
    await using textbook = await openSite(context, textbookSite);
    await createEffectsTable(site);
    await createTextbookOutbox(textbook.pool);
    await createStream(textbook.natsUrl, textbook.stream);
    const started = await Promise.all([
      startRelay(site),
      startTextbookRelay(textbook, { publishing: 'one-by-one' }),
      startConsumerProcess('one'),
      startConsumerProcess('batch-100'),
    ]);
    await using _ended = endOf(started);
    const [, , one, inBatches] = started;
    const paths = {
      postcommit: {
        site,
        insert: 'insert into postcommit.outbox (subject, payload, key) values ($1, $2, $3)',
      },
      textbook: { site: textbook, insert: 'insert into outbox (subject, payload) values ($1, $2)' },
    };
    return await compare(context, { paths, consumers: { one, 'batch-100': inBatches } });
  },
};

function endOf(processes: readonly AsyncDisposable[]): AsyncDisposable {
  const end = async () => {
    await Promise.all(processes.map((process) => process[Symbol.asyncDispose]()));
  };
  return { [Symbol.asyncDispose]: end };
}

interface Stage {
  readonly paths: Readonly<Record<Variant['path'], Path>>;
  readonly consumers: Consumers;
}

async function compare(context: BenchContext, stage: Stage): Promise<BenchOutcome> {
  const runs = new Map<Name, Timed[]>(VARIANTS.map(({ name }) => [name, []]));
  await measure(stage, { variant: VARIANTS[0], round: 0, seconds: 0.5 }); // To get warm.
  for (let round = 1; round <= context.runs; round++) {
    for (const variant of variantsOf(context)) {
      const timed = await measure(stage, { variant, round, seconds: context.quick ? 0.6 : 1.2 });
      runs.get(variant.name)?.push(timed);
      context.note(`latency ${round}/${context.runs} ${variant.name}: ${noteOf(timed)}`);
    }
  }
  return outcomeOf(variantsOf(context), (name) => runs.get(name) ?? []);
}

/** The same arrivals in each variant of a round that has the same rate. */
async function measure(
  { paths, consumers }: Stage,
  { variant, round, seconds }: { variant: Variant; round: number; seconds: number },
): Promise<Timed> {
  const { name, perSecond, path, consumer } = variant;
  await forgetEffects(paths.postcommit.site);
  return measureLatency({
    path: paths[path],
    arrivals: { perSecond, seconds, pattern: 'poisson', seed: round },
    consumer: consumer && consumers[consumer],
    durable: `latency-${round}-${name.replace(/\W+/g, '-')}`,
  });
}

function noteOf({ stored, handler, lateness }: Timed): string {
  const told = (latencies: Latencies) =>
    [50, 99, 100].map((at) => latencies.percentile(at).toFixed(1)).join(' / ');
  const handled = handler.count === 0 ? '' : `, handler ${told(handler)}`;
  return `stored ${told(stored)}${handled} ms (p50 / p99 / max), generator late by ${told(lateness)}`;
}

type RunsOf = (name: Name) => readonly Timed[];
type Measure = Exclude<keyof Timed, 'faults'>;

function outcomeOf(variants: Variants, runsOf: RunsOf): BenchOutcome {
  const consumed = variants.filter((variant) => 'consumer' in variant);
  const stored: BenchResult[] = variants.flatMap(({ name }) => percentilesOf(runsOf, name, 'stored'));
  const handler = consumed.flatMap(({ name }) => percentilesOf(runsOf, name, 'handler'));
  const stages = (
    ['lateness', 'committed', 'commitToStored', 'storedToHandler', 'commitToHandler'] as const
  ).flatMap((what) => percentilesOf(runsOf, '1000/s', what, [50, 99]));
  return {
    results: [...handler, ...stored, ...stages],
    plots: [
      plotOf(
        'From the intended write to the handler of consume()',
        consumed.map(({ name }) => [name, 'handler', name]),
        runsOf,
      ),
      plotOf(
        'From the intended write to the stream',
        variants.map(({ name, path }) => [
          name,
          'stored',
          path === 'textbook' ? `${name}, polls every ${TEXTBOOK_POLL_MS} ms` : name,
        ]),
        runsOf,
      ),
      plotOf(
        'Where the time goes at 1,000 events/s',
        [
          ['1000/s', 'committed', 'intended write to its commit'],
          ['1000/s', 'commitToStored', 'commit to stream'],
          ['1000/s', 'storedToHandler', 'stream to handler'],
        ],
        runsOf,
      ),
    ],
  };
}

const PERCENTILES = [50, 90, 99, 99.9, 100] as const;
const TITLES: Readonly<Record<Measure, string>> = {
  handler: 'handler',
  stored: 'stored',
  committed: 'stage: write to commit',
  commitToStored: 'stage: commit to stored',
  commitToHandler: 'stages: commit to handler',
  storedToHandler: 'stage: stored to handler',
  lateness: 'generator late',
};
/** What the design asks of 1,000 events/s. */
const MOST: Readonly<Record<number, number>> = { 50: 3, 99: 15 };

function percentilesOf(
  runsOf: RunsOf,
  name: Name,
  what: Measure,
  percentiles: readonly number[] = PERCENTILES,
): BenchResult[] {
  const faults = runsOf(name).map((run) => run.faults);
  return percentiles.map((at) => {
    const value = what === 'handler' && name === '1000/s' ? MOST[at] : undefined;
    const measured: Measured = {
      name: `${TITLES[what]}, ${name}, ${at === 100 ? 'max' : `p${at}`}`,
      unit: 'ms',
      values: runsOf(name).map((run) => run[what].percentile(at)),
      ...(at === 50 && what in { handler: 1, stored: 1 } ? { faults } : {}),
      ...(value === undefined ? {} : { target: { at: 'most', value } }),
    };
    return resultOf(measured);
  });
}

function plotOf(title: string, lines: readonly (readonly [Name, Measure, string])[], runsOf: RunsOf): Plot {
  return {
    title,
    x: { label: 'percentile', scale: 'percentile' },
    y: { label: 'ms', scale: 'log' },
    lines: lines.map(([name, what, label]) => curveOf(label, merged(runsOf(name).map((run) => run[what])))),
  };
}
