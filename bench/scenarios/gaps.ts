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
 * `gaps`: one transaction holds every second position, so that each is a gap, and ends when half of the others' events are
 * stored: by a commit and by a rollback in turn. `xmin-held`: one holds a snapshot all the time, and writes nothing.
 */
const VARIANTS = ['alone', 'gaps', 'xmin-held'] as const;
type Variant = (typeof VARIANTS)[number];
type End = 'commit' | 'rollback';

interface Run {
  readonly variant: Variant;
  readonly end: End;
  readonly rate: number;
  readonly faults: Faults;
}

/** What transactions that stay open cost the relay: as a drain rate, and for each poll. */
export const gaps: Bench = {
  summary:
    'draining beside a transaction of 100,000 events and beside a held snapshot, polls beside uncommitted rows',
  async run(context) {
    const runs: Run[] = [];
    for (let i = 1; i <= context.runs; i++) {
      const end = i % 2 === 1 ? 'commit' : 'rollback';
      for (const variant of VARIANTS) runs.push(await measure(context, { variant, end }));
      context.note(`gaps ${i}/${context.runs}: ${wordsOf(runs.slice(-VARIANTS.length))}`);
    }
    const polls = await measurePolls(context);
    return { results: [...drainsOf(runs), ...polls.results] } satisfies BenchOutcome;
  },
};

async function measure(
  context: BenchContext,
  { variant, end }: { variant: Variant; end: End },
): Promise<Run> {
  const count = context.quick ? 20_000 : 100_000;
  await using site = await openSite(context, { name: `gaps_${variant.replace('-', '_')}` });
  const other = await prepare(site, { variant, count });
  await site.pool.query('checkpoint');
  await using _relay = await startRelay(site);
  const stored = (messages: number) =>
    waitForMessages(site.natsUrl, { stream: site.stream, count: messages, timeoutMs: DRAIN_TIMEOUT_MS });
  await stored(count / 2);
  if (variant === 'gaps') await other?.end(end);
  await stored(variant === 'gaps' && end === 'commit' ? 2 * count : count);
  if (variant === 'xmin-held') await other?.end('rollback');
  const { faults, span } = await relayedSince(site, BEGINNING);
  return { variant, end, rate: span.count / span.seconds, faults };
}

async function prepare(
  { url, stream }: Site,
  { variant, count }: { variant: Variant; count: number },
): Promise<OpenTransaction | undefined> {
  if (variant === 'gaps') return writeInterleaved(url, { stream, count });
  const holder = variant === 'xmin-held' ? await holdXmin(url) : undefined;
  await writeBacklog(url, { stream, count });
  return holder;
}

function drainsOf(runs: readonly Run[]): BenchResult[] {
  const measured = (name: string, chosen: (run: Run) => boolean) => ({
    name: `drain-${name}`,
    unit: 'events/s',
    values: runs.filter(chosen).map(({ rate }) => rate),
    faults: runs.filter(chosen).map(({ faults }) => faults),
  });
  const alone = measured('alone', ({ variant }) => variant === 'alone');
  const against = (variant: Variant, least: number) =>
    resultOf({
      ...measured(variant, (run) => run.variant === variant),
      against: alone,
      target: { at: 'least', value: least },
    });
  const ended = (end: End) => measured(`gaps-${end}`, (run) => run.variant === 'gaps' && run.end === end);
  return [
    against('gaps', 0.8),
    ...[ended('commit'), ended('rollback')]
      .filter(({ values }) => values.length > 0)
      .map((line) => resultOf({ ...line, against: alone })),
    against('xmin-held', 0.9),
    resultOf(alone),
  ];
}

function wordsOf(runs: readonly Run[]): string {
  return runs
    .map(({ variant, end, rate }) => {
      const name = variant === 'gaps' ? `${variant} until ${end}` : variant;
      return `${name} ${Math.round(rate)} events/s`;
    })
    .join(', ');
}
