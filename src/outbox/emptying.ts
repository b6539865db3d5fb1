import { lastRows } from '../batch-log/recover.ts';
import { type SettledStream, settledLogs, unsettledPositions } from '../batch-log/settled.ts';
import { KEPT_AT_ONCE, keepContent, keepContentStatement } from '../dead-letters/keep-content.ts';
import { type Session, sqlState } from '../postgres/session.ts';
import { withoutWaiting } from '../postgres/without-waiting.ts';
import { type Uncovered, uncoveredOf } from './audit.ts';
import { type Census, type CensusProgress, catchUp, takeCensus } from './census.ts';
import { hasRowBeside } from './leaf-rows.ts';

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
    async emptyIfStored(options) {
      const known = await compare(options.budgetMs);
      if (typeof known === 'string') return { kind: known };
      const obstacle = await obstacleTo(session, known, options.settled);
      if (obstacle !== undefined) return obstacle;
      const outcome = await truncateIfUnchanged(session, known, options.epoch);
      if (outcome === 'emptied' || outcome === 'changed') forget();
      return { kind: outcome === 'changed' ? 'busy' : outcome };
    },
  };
}

/** What is to be seen without a lock, for as long as an outage lasts; and what takes long is done. */
async function obstacleTo(
  session: Session,
  census: Census,
  settled: readonly SettledStream[],
): Promise<Emptying | undefined> {
  const rows = missing(census);
  if (rows > 0) {
    const found = await withoutWaiting(session, () => uncoveredOf(session, census));
    return found === 'busy' ? { kind: 'busy' } : { kind: 'uncovered', rows, found };
  }
  const unsettled = await unsettledRows(session, census, settled);
  if (unsettled.kind !== 'settled') return unsettled;
  return (await keepAll(session, census)) === 'busy' ? { kind: 'busy' } : undefined;
}

/** Rows of the leaf that no plan means. */
function missing({ leaves }: Census): number {
  return leaves.reduce((sum, { uncovered, reused }) => sum + uncovered.size + reused.size, 0);
}

type Attempt = 'emptied' | 'changed' | 'busy' | 'fenced';

/** What the block below raises. */
const OUTCOMES: Readonly<Record<string, Attempt>> = {
  '55P03': 'busy',
  PC001: 'changed',
  PC002: 'fenced',
};

/**
 * A late writer waits for as long as this holds its locks, so it does little, and all of it in one statement: a relay
 * that is frozen between two would hold them meanwhile. The comparison was made before; here it is only looked up whether
 * anybody has added to the leaf since. SHARE keeps writers out for that, and readers are kept out for the TRUNCATE only.
 */
async function truncateIfUnchanged(
  session: Session,
  { leaves: [leaf] }: Census,
  epoch: number,
): Promise<Attempt> {
  if (leaf === undefined) throw new Error('a census of no leaf');
  const table = `postcommit.outbox_${leaf.segment}`;
  const text = `do $block$ declare kept int; begin
      perform set_config('lock_timeout', '5ms', true), set_config('synchronous_commit', 'local', true);
      lock table ${table} in share mode nowait;
      if ${hasRowBeside(leaf.segment, leaf.rows.ranges())} then
        raise exception using errcode = 'PC001', message = 'rows were added';
      end if;
      ${keepContentStatement(leaf).replace('returning 1', '')};
      get diagnostics kept = row_count;
      if kept = ${KEPT_AT_ONCE} then
        raise exception using errcode = 'PC001', message = 'dead letters were added';
      end if;
      perform from postcommit.lease where epoch = ${epoch} for update nowait;
      if not found then raise exception using errcode = 'PC002', message = 'another epoch leads'; end if;
      lock table ${table} in access exclusive mode nowait;
      truncate only ${table};
    end $block$`;
  try {
    await session.query({ text });
    return 'emptied';
  } catch (error) {
    const outcome = OUTCOMES[sqlState(error) ?? ''];
    if (outcome === undefined) throw error;
    return outcome;
  }
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
