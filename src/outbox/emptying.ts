import { lastRows } from '../batch-log/recover.ts';
import { type SettledStream, settledLogs, unsettledPositions } from '../batch-log/settled.ts';
import { KEPT_AT_ONCE, keepContent } from '../dead-letters/keep-content.ts';
import type { Session } from '../postgres/session.ts';
import { withoutWaiting } from '../postgres/without-waiting.ts';
import { type Uncovered, uncoveredOf } from './audit.ts';
import { type Census, type CensusProgress, catchUp, takeCensus } from './census.ts';
import { rowBeside } from './leaf-rows.ts';

export type Emptying =
  | { readonly kind: 'emptied' }
  /** Its rows are still being compared with the log: go on with it the next time. */
  | { readonly kind: 'checking' }
  /** Rows that are planned and not known to be stored (their stream is down). */
  | { readonly kind: 'unsettled'; readonly rows: number; readonly streams: readonly string[] }
  /** Rows that no plan holds: written to an explicit position, straight into the leaf, or by a sequence set back. */
  | { readonly kind: 'uncovered'; readonly rows: number; readonly found: Uncovered }
  /** Someone uses the leaf (a dump, a late writer): later. */
  | { readonly kind: 'busy' }
  | { readonly kind: 'fenced' };

export interface EmptyOptions {
  readonly epoch: number;
  /** What lanes know to be stored. Of other streams the log's newest row says it. */
  readonly settled: readonly SettledStream[];
  /** Milliseconds after which comparing pauses until the next call. */
  readonly budgetMs: number;
}

/** The comparison of an old leaf's rows with the log. It outlasts a call: nobody adds to the leaf, and who does is noticed. */
export interface LeafCheck {
  readonly segment: number;
  /** Empties the leaf unless that would lose an event or make anybody wait. */
  emptyIfStored(options: EmptyOptions): Promise<Emptying>;
}

export function createLeafCheck(session: Session, segment: number): LeafCheck {
  let census: Census | undefined;
  let underWay: AsyncGenerator<CensusProgress, Census> | undefined;

  const forget = () => {
    census = undefined;
    underWay = undefined;
  };

  /** Each statement in a transaction of its own, which does not wait where somebody keeps everyone out of a leaf. */
  async function take(budgetMs: number): Promise<Census | 'checking' | 'busy'> {
    const deadlineMs = performance.now() + budgetMs;
    underWay ??= takeCensus(session, { leaves: [{ segment }], rowsOnly: true });
    for (const steps = underWay; ; ) {
      const step = await withoutWaiting(session, () => steps.next());
      if (step === 'busy') return 'busy';
      if (step.done === true) return step.value;
      if (performance.now() > deadlineMs) return 'checking';
    }
  }

  async function compare(budgetMs: number): Promise<Census | 'checking' | 'busy'> {
    if (census === undefined) {
      const taken = await take(budgetMs);
      if (taken === 'busy') forget();
      if (typeof taken === 'string') return taken;
      census = taken;
    } else if (missing(census) > 0) {
      const known = census;
      if ((await withoutWaiting(session, () => catchUp(session, known))) === 'busy') return 'busy';
    }
    return census;
  }

  return {
    segment,
    async emptyIfStored({ epoch, settled, budgetMs }) {
      const known = await compare(budgetMs);
      if (typeof known === 'string') return { kind: known };
      const rows = missing(known);
      if (rows > 0) return { kind: 'uncovered', rows, found: await uncoveredOf(session, known) };
      const unsettled = await unsettledRows(session, known, settled);
      if (unsettled.kind !== 'settled') return unsettled; // For as long as an outage lasts, without a lock.
      if ((await keepAll(session, known)) === 'busy') return { kind: 'busy' };
      const outcome = await withoutWaiting(session, () => emptyLocked(session, known, { epoch, settled }));
      if (outcome === 'busy') return { kind: 'busy' };
      if (outcome.kind === 'emptied' || outcome.kind === 'changed') forget();
      return outcome.kind === 'changed' ? { kind: 'busy' } : outcome;
    },
  };
}

/** Rows of the leaf that no plan means. */
function missing({ leaves }: Census): number {
  return leaves.reduce((sum, { uncovered, reused }) => sum + uncovered.size + reused.size, 0);
}

type Attempt = Emptying | { readonly kind: 'changed' };

/**
 * A late writer waits for this transaction, so it does little: the comparison was made before, and here it is only
 * looked up whether anybody has added to the leaf since. SHARE keeps writers out while that is done, and readers only
 * for the TRUNCATE itself.
 */
async function emptyLocked(
  session: Session,
  census: Census,
  { epoch, settled }: Omit<EmptyOptions, 'budgetMs'>,
): Promise<Attempt> {
  const [leaf] = census.leaves;
  if (leaf === undefined) throw new Error('a census of no leaf');
  const table = `postcommit.outbox_${leaf.segment}`;
  await session.query({ text: `lock table ${table} in share mode nowait` });
  if ((await rowBeside(session, leaf.segment, leaf.rows.ranges())) !== undefined) return { kind: 'changed' };
  const unsettled = await unsettledRows(session, census, settled);
  if (unsettled.kind !== 'settled') return unsettled;
  if ((await keepContent(session, leaf)) === KEPT_AT_ONCE) return { kind: 'changed' };
  const chair = await session.query({
    text: 'select from postcommit.lease where epoch = $1 for update nowait',
    values: [epoch],
  });
  if (chair.length === 0) return { kind: 'fenced' };
  await session.query({ text: `lock table ${table} in access exclusive mode nowait` });
  await session.query({ text: `truncate only ${table}` });
  return { kind: 'emptied' };
}

/** Planned is not stored: a broker that is down for longer than the retention must cost nothing. */
async function unsettledRows(
  session: Session,
  { leaves }: Census,
  lanes: readonly SettledStream[],
): Promise<Emptying | { readonly kind: 'settled' }> {
  const logs = settledLogs(await lastRows(session), lanes);
  const streams: string[] = [];
  let rows = 0;
  for (const log of logs) {
    const positions = await unsettledPositions(session, log);
    const here = leaves.reduce((sum, leaf) => sum + leaf.rows.count(positions), 0);
    if (here > 0) streams.push(log.stream);
    rows += here;
  }
  return rows === 0 ? { kind: 'settled' } : { kind: 'unsettled', rows, streams };
}

async function keepAll(session: Session, { leaves }: Census): Promise<'kept' | 'busy'> {
  for (const leaf of leaves) {
    for (let copied: number | 'busy' = KEPT_AT_ONCE; copied === KEPT_AT_ONCE; ) {
      copied = await withoutWaiting(session, () => keepContent(session, leaf));
      if (copied === 'busy') return 'busy';
    }
  }
  return 'kept';
}
