import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { sleep } from '../../src/lifecycle/abort.ts';
import type { Bench, BenchContext } from '../context.ts';
import {
  CONSUMERS,
  type ConsumerProcess,
  type ConsumerVariant,
  startConsumerProcess,
} from '../load/consumer-process.ts';
import { createEffectsTable, forgetEffects } from '../load/effects-table.ts';
import { fillStream } from '../load/fill-stream.ts';
import { type BenchOutcome, type Faults, resultOf } from '../report/result.ts';
import { openSite, type Site } from '../servers/site.ts';

/** One run of one variant. */
interface Run {
  readonly rate: number;
  readonly cpuMicrosPerEffect: number;
  readonly faults: Faults;
}

const STREAM = 'consumers';
/** More than the fastest takes in a run. */
const EVENTS = 80_000;
/** In a quick look. */
const LOOK: readonly ConsumerVariant[] = ['one', 'batch-100', 'batches-100', 'stock', 'floor'];
const FOR_SHOW: readonly ConsumerVariant[] = ['batch-10', 'batch-1000', 'batches-100', 'none-4'];
const SETTLE_MS = 150;
const WINDOW_MS = 500;
const QUICK_WINDOW_MS = 300;

/**
 * Effects a second out of a full stream: inbox row, effect and ack of each event, in a process of its own. A run counts
 * what was done in a window of time once it is going; the processes outlive the runs, and are warm.
 */
export const consumers: Bench = {
  summary: 'effects a second of consume(), beside bare commits and beside a consumer written by hand',
  async run(context) {
    await using site = await openSite(context, { name: STREAM });
    await createEffectsTable(site);
    await fillStream(site.natsUrl, STREAM, context.quick ? EVENTS / 4 : EVENTS);
    const variants = context.quick ? LOOK : CONSUMERS;
    const started = await Promise.all(variants.map(startConsumerProcess));
    const runs = new Map<ConsumerVariant, Run[]>(variants.map((variant) => [variant, []]));
    try {
      // The first round is to get warm.
      for (let i = context.quick ? 1 : 0; i <= context.runs; i++) {
        for (const [v, variant] of variants.entries()) {
          const process = started[v] as ConsumerProcess;
          const run = await measure(site, { variant, process, durable: `${variant}-${i}`, context });
          if (i === 0) continue;
          runs.get(variant)?.push(run);
          context.note(noteOf(run, { variant, i, context }));
        }
      }
    } finally {
      await Promise.all(started.map((process) => process[Symbol.asyncDispose]()));
    }
    return outcomeOf(variants, (variant) => runs.get(variant) ?? []);
  },
};

function noteOf(
  { rate, cpuMicrosPerEffect }: Run,
  { variant, i, context }: { variant: ConsumerVariant; i: number; context: BenchContext },
): string {
  return `consumers ${i}/${context.runs} ${variant}: ${Math.round(rate)} effects/s, ${cpuMicrosPerEffect.toFixed(1)} us CPU an effect`;
}

interface Task {
  readonly variant: ConsumerVariant;
  readonly process: ConsumerProcess;
  readonly durable: string;
  readonly context: BenchContext;
}

async function measure(site: Site, { variant, process, durable, context }: Task): Promise<Run> {
  const { url, natsUrl, pool } = site;
  await forgetEffects(site);
  await process.start({ url, natsUrl, stream: STREAM, durable, from: 'all' });
  await process.first;
  await sleep(SETTLE_MS);
  const before = await look(site, process);
  await sleep(context.quick ? QUICK_WINDOW_MS : WINDOW_MS);
  const after = await look(site, process);
  await process.stop();
  const { rows } = await pool.query(
    `select count(*)::int as effects, extract(epoch from least(max(at), $2) - $1)::float8 as seconds
       from effects where at >= $1 and at < $2`,
    [before.at, after.at],
  );
  const { effects, seconds } = rows[0];
  return {
    rate: effects / seconds,
    cpuMicrosPerEffect: (after.cpuMicros - before.cpuMicros) / effects,
    faults: variant === 'floor' ? NONE : await faultsOf(site, durable),
  };
}

const NONE: Faults = { lost: 0, twice: 0, disorder: 0 };

async function look({ pool }: Site, process: ConsumerProcess) {
  const { rows } = await pool.query('select clock_timestamp()::text as at');
  return { at: rows[0].at as string, cpuMicros: (await process.usage()).cpuMicros };
}

/** Lost is what was acknowledged and has no effect; disorder is counted within a key. */
async function faultsOf({ natsUrl, pool }: Site, durable: string): Promise<Faults> {
  const connection = await connect({ servers: natsUrl });
  const manager = await jetstreamManager(connection);
  const { ack_floor } = await manager.consumers.info(STREAM, durable);
  await manager.consumers.delete(STREAM, durable);
  await connection.close();
  const { rows } = await pool.query(
    `select $1::int - count(distinct sequence) filter (where sequence <= $1)::int as lost,
            count(*)::int - count(distinct event_id)::int as twice,
            count(*) filter (where sequence < former)::int as disorder
       from (select *, lag(sequence) over (partition by key order by place) as former from effects) e`,
    [ack_floor.stream_seq],
  );
  return rows[0];
}

function outcomeOf(
  variants: readonly ConsumerVariant[],
  runsOf: (variant: ConsumerVariant) => readonly Run[],
): BenchOutcome {
  const name = (variant: ConsumerVariant) => `consume-${variant}`;
  const rates = (variant: ConsumerVariant) => ({
    name: name(variant),
    values: runsOf(variant).map(({ rate }) => rate),
  });
  const effects = (variant: ConsumerVariant) => ({
    ...rates(variant),
    unit: 'effects/s',
    ...(variant === 'floor' ? {} : { faults: runsOf(variant).map(({ faults }) => faults) }),
  });
  const ofOne = (variant: ConsumerVariant) => resultOf({ ...effects(variant), against: rates('one') });
  return {
    results: [
      resultOf(effects('floor')),
      resultOf(effects('stock')),
      resultOf({ ...effects('one'), against: rates('floor') }),
      resultOf({ ...effects('one'), name: `${name('one')}-of-stock`, against: rates('stock') }),
      resultOf({ ...effects('batch-100'), against: rates('one'), target: { at: 'least', value: 3 } }),
      ...FOR_SHOW.filter((variant) => variants.includes(variant)).map(ofOne),
      ...variants.map((variant) =>
        resultOf({
          name: `${name(variant)}-cpu`,
          unit: 'us/effect',
          values: runsOf(variant).map((run) => run.cpuMicrosPerEffect),
        }),
      ),
    ],
  };
}
