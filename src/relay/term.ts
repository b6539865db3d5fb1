import { recoverCapture } from '../batch-log/recover.ts';
import type { BrokerLink } from '../jetstream/index.ts';
import {
  fenceLog,
  holdLeaderLock,
  joinEpoch,
  releaseIfLeading,
  terminatePredecessors,
} from '../lease/lease.ts';
import type { WakeUp } from '../lifecycle/wake-up.ts';
import { createCapture } from '../outbox/capture.ts';
import { type Listener, listen } from '../outbox/listener.ts';
import { READ_SETTINGS } from '../outbox/read.ts';
import { repairPositionSequence } from '../outbox/suitability.ts';
import { openSession, type Session } from '../postgres/session.ts';
import { keepLease } from './keeper.ts';
import { createLane, type Lane } from './lane.ts';
import { createLaneMeter } from './lane-meter.ts';
import { runLoop } from './loop.ts';
import { runMaintenance } from './maintenance.ts';
import type { ResolvedOptions } from './options.ts';
import { createPacer } from './pacer.ts';
import { readSource } from './source.ts';

export interface TermContext {
  readonly options: ResolvedOptions;
  readonly link: BrokerLink;
  /** The session that took the lead. */
  readonly leaseSession: Session;
  readonly epoch: number;
  readonly wakeUp: WakeUp;
  /** Plan nothing more. */
  readonly stopping: AbortSignal;
  /** Do not wait for acknowledgements any longer. */
  readonly aborting: AbortSignal;
  readonly onLane: (lane: Lane) => void;
  readonly onTurn: () => void;
}

/** How a leadership ended, other than by an error. */
export type TermEnd = { readonly kind: 'stopped' } | { readonly kind: 'deposed'; readonly reason: string };

/** Session settings every write of the relay relies on: the plan's commit is the durability barrier. */
const WORK_SETTINGS = {
  ...READ_SETTINGS,
  synchronous_commit: 'on',
  statement_timeout: '30s',
  idle_in_transaction_session_timeout: '10s',
};

/**
 * One leadership, from the won election to its end. Nothing of it outlives it: whatever fails here, the next term
 * starts from the batch log.
 */
export async function lead(context: TermContext): Promise<TermEnd> {
  const resources: Resources = [];
  const lost = new AbortController();
  try {
    return await leadWith(context, lost, resources);
  } finally {
    lost.abort(OVER);
    for (const release of resources.reverse()) await release();
  }
}

type Resources = (() => Promise<void> | void)[];

/** Why the signal of a lost lead aborts where nothing was lost. */
const OVER = 'over';

async function leadWith(context: TermContext, lost: AbortController, resources: Resources): Promise<TermEnd> {
  const { options, leaseSession, epoch, stopping } = context;
  const failure: Failure = { error: undefined };
  watchSession(leaseSession, { lost, failure });
  await joinEpoch(leaseSession, epoch);
  const shared = { context, lost, failure, resources };
  const work = await openTermSession('postcommit relay', shared);
  if (!(await takeOver(work, context))) return { kind: 'deposed', reason: 'another relay took over' };
  const parts = await buildParts(context, work, resources);
  const maintenance = await openTermSession('postcommit maintenance', shared);
  const keeper = keepLease(leaseSession, { epoch, ttlMs: options.leaseTtlMs, signal: lost.signal }).then(
    (loss) => {
      lost.abort();
      return loss;
    },
    (error: unknown) => {
      lost.abort();
      throw error;
    },
  );
  keeper.catch(() => undefined); // Awaited below, where its failure ends the term.
  const chores = runMaintenance({ ...parts, session: maintenance, epoch, options }, lost.signal);
  chores.then(
    () => lost.abort(),
    () => lost.abort(),
  );
  const end = await runLoop(
    { ...parts, wakeUp: context.wakeUp, turn: context.onTurn },
    AbortSignal.any([stopping, lost.signal]),
  ).catch((error: unknown) => {
    if (lost.signal.aborted) return 'lost' as const; // Its session was cut off.
    throw error;
  });
  if (end === 'fenced') return { kind: 'deposed', reason: 'another relay took over' };
  if (!lost.signal.aborted) {
    await settle(parts.lane, context);
    await parts.pacer.close();
    await releaseIfLeading(leaseSession, epoch);
    return { kind: 'stopped' };
  }
  if (failure.error !== undefined) throw failure.error;
  if ((await chores) === 'fenced') return { kind: 'deposed', reason: 'another relay took over' };
  return { kind: 'deposed', reason: (await keeper) ?? 'the database session was lost' };
}

/** A successor's first steps, in this order: nothing of an older epoch may write from here on. */
async function takeOver(work: Session, { leaseSession, epoch, options }: TermContext): Promise<boolean> {
  const terminated = await terminatePredecessors(leaseSession, epoch);
  if (terminated > 0)
    options.logger.warn(
      { event: 'predecessor-terminated', sessions: terminated },
      'sessions of the former leader were ended',
    );
  await holdLeaderLock(leaseSession);
  return fenceLog(work, epoch);
}

interface Failure {
  /** What ended the first session that was lost by itself. */
  error: Error | undefined;
}

interface TermSession {
  readonly context: TermContext;
  readonly lost: AbortController;
  readonly failure: Failure;
  readonly resources: Resources;
}

/** A session that ends with the lead: a statement that is still waiting for a lost server must not hold up the next term. */
async function openTermSession(name: string, term: TermSession): Promise<Session> {
  const { context, lost, resources } = term;
  const session = await openSession({ url: context.options.databaseUrl(), name, settings: WORK_SETTINGS });
  resources.push(() => session.close());
  watchSession(session, term);
  lost.signal.addEventListener('abort', () => {
    if (lost.signal.reason !== OVER) session.destroy();
  });
  await joinEpoch(session, context.epoch);
  return session;
}

function watchSession(session: Session, { lost, failure }: Pick<TermSession, 'lost' | 'failure'>): void {
  session.onFailure((error) => {
    if (!lost.signal.aborted) failure.error = error;
    lost.abort();
  });
}

async function buildParts(context: TermContext, work: Session, resources: Resources) {
  const { options, link, epoch, wakeUp } = context;
  const { logger, metrics } = options;
  const recovery = await recoverCapture(work);
  if ((await repairPositionSequence(work, recovery.cursor)) === 'moved') {
    logger.error(
      { event: 'sequence-moved', cursor: recovery.cursor },
      'the position sequence stood behind the batch log (a restore or switchover?) and was moved past it',
    );
  }
  const capture = createCapture(work, recovery);
  const listener: Listener = await listen({ url: options.databaseUrl(), logger, wake: wakeUp.wake });
  resources.push(() => listener.close());
  const [laneOptions] = options.lanes;
  if (laneOptions === undefined) throw new Error('a relay needs a lane');
  const meter = createLaneMeter({ stream: laneOptions.stream, metrics, logger });
  const source = options.source ?? (await readSource(work));
  const lane = createLane({
    options: laneOptions,
    session: work,
    link,
    epoch,
    source,
    provision: options.provision,
    meter,
    wake: wakeUp.wake,
  });
  resources.push(() => lane.close());
  context.onLane(lane);
  const pacer = createPacer({
    session: work,
    epoch,
    wakeUp,
    metrics,
    list: () => capture.list(),
    mayPark: () => listener.listening,
  });
  return { capture, lane, pacer, meter };
}

/** What was planned is settled before the end, unless that takes longer than the grace. */
async function settle(lane: Lane, { aborting }: TermContext): Promise<void> {
  await lane.until(() => lane.pending === 0 || lane.state.kind !== 'flowing', aborting);
}
