import type { Bench, BenchContext } from '../context.ts';
import { holdXmin, type OpenTransaction, writeBacklog, writeInterleaved } from '../load/backlog.ts';
import { type BenchOutcome, type BenchResult, type Faults, resultOf } from '../report/result.ts';
import { BEGINNING, relayedSince } from '../servers/outbox-faults.ts';
import { startRelay } from '../servers/relay-process.ts';
import { openSite, type Site } from '../servers/site.ts';
import { waitForMessages } from '../servers/stream-facts.ts';
import { measurePolls } from './polls-beside-uncommitted.ts';

const DRAIN_TIMEOUT_MS = 120_000;

/**
 * `gaps-*`: one transaction holds every second position, so that each is a gap and there are as many as can be, and ends so
 * when half of the others' events are stored. `xmin-held`: one holds a snapshot all the time, and writes nothing.
 */
const VARIANTS = ['alone', 'gaps-commit', 'gaps-rollback', 'xmin-held'] as const;
type Variant = (typeof VARIANTS)[number];

interface Run {
  readonly variant: Variant;
  readonly rate: number;
  readonly faults: Faults;
}

/** What transactions that stay open cost the relay: as a drain rate, and for each poll. */
export const gaps: Bench = {
  summary:
    'draining beside a transaction of 100,000 events and a held snapshot; polls beside uncommitted rows',
  async run(context) {
    const runs: Run[] = [];
    for (let i = 1; i <= context.runs; i++) {
      for (const variant of VARIANTS) runs.push(await measure(context, variant));
      context.note(`gaps ${i}/${context.runs}: ${wordsOf(runs.slice(-VARIANTS.length))}`);
    }
    const polls = await measurePolls(context);
    return { results: [...drainsOf(runs), ...polls.results] } satisfies BenchOutcome;
  },
};

async function measure(context: BenchContext, variant: Variant): Promise<Run> {
  const count = context.quick ? 5_000 : 100_000;
  await using site = await openSite(context, { name: `gaps_${variant.replace('-', '_')}` });
  const other = await prepare(site, { variant, count });
  await site.pool.query('checkpoint');
  await using _relay = await startRelay(site);
  const stored = (messages: number) =>
    waitForMessages(site.natsUrl, { stream: site.stream, count: messages, timeoutMs: DRAIN_TIMEOUT_MS });
  await stored(count / 2);
  if (variant === 'gaps-commit') await other?.end('commit');
  if (variant === 'gaps-rollback') await other?.end('rollback');
  await stored(variant === 'gaps-commit' ? 2 * count : count);
  if (variant === 'xmin-held') await other?.end('rollback');
  const { faults, span } = await relayedSince(site, BEGINNING);
  return { variant, rate: span.count / span.seconds, faults };
}

async function prepare(
  { url, stream }: Site,
  { variant, count }: { variant: Variant; count: number },
): Promise<OpenTransaction | undefined> {
  if (variant === 'gaps-commit' || variant === 'gaps-rollback')
    return writeInterleaved(url, { stream, count });
  const holder = variant === 'xmin-held' ? await holdXmin(url) : undefined;
  await writeBacklog(url, { stream, count });
  return holder;
}

function drainsOf(runs: readonly Run[]): BenchResult[] {
  const measured = (variant: Variant) => {
    const chosen = runs.filter((run) => run.variant === variant);
    const [values, faults] = [chosen.map(({ rate }) => rate), chosen.map((run) => run.faults)];
    return { name: `drain-${variant}`, unit: 'events/s', values, faults };
  };
  const alone = measured('alone');
  const against = (variant: Variant, least: number) =>
    resultOf({ ...measured(variant), against: alone, target: { at: 'least', value: least } });
  return [
    against('gaps-commit', 0.8),
    against('gaps-rollback', 0.8),
    against('xmin-held', 0.9),
    resultOf(alone),
  ];
}

function wordsOf(runs: readonly Run[]): string {
  return runs.map(({ variant, rate }) => `${variant} ${Math.round(rate)} events/s`).join(', ');
}
