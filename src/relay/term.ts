import { createCoverage } from '../batch-log/coverage.ts';
import { recoverCapture } from '../batch-log/recover.ts';
import { type BrokerLink, createCloudEventHeaders } from '../jetstream/index.ts';
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
import { LOOK_SETTINGS, READ_SETTINGS } from '../outbox/read.ts';
import { openSession, type Session } from '../postgres/session.ts';
import { waitsForStandby } from '../postgres/standby-wait.ts';
import { createLane } from './create-lane.ts';
import { guardSequence } from './guard-sequence.ts';
import type { Lane } from './lane/lane.ts';
import { createLaneMeter, type LaneMeter } from './lane/lane-meter.ts';
import { shouldHandOver } from './leading/handover.ts';
import { keepLease, type Loss } from './leading/keeper.ts';
import { serveOperators } from './operator/serve.ts';
import type { LaneOptions, ResolvedOptions } from './options.ts';
import { createLineUp } from './reading/line-up.ts';
import { createLookout } from './reading/lookout.ts';
import { runLoop } from './reading/loop.ts';
import { createPacer } from './reading/pacer.ts';
import { createPlansUnderWay } from './reading/plans-under-way.ts';
import { createRouter, type Router } from './reading/router.ts';
import type { Straggler } from './reading/straggler.ts';
import { readSource } from './source.ts';
import { streamsToClose } from './streams-to-close.ts';
import { createAuditor } from './upkeep/auditor.ts';
import { runMaintenance } from './upkeep/maintenance.ts';

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
  readonly onLanes: (lanes: readonly Lane[]) => void;
  readonly onTurn: () => void;
  /** A commit waits for a synchronous standby; called every few seconds while it does. */
  readonly onStandbyWait: () => void;
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
  const term: Term = { context, lost: new AbortController(), resources: [], why: {} };
  try {
    return await leadWith(term);
  } catch (error) {
    // A lost lead cuts its sessions off: what failed of that is not why.
    if (term.why.loss !== undefined) return { kind: 'deposed', reason: term.why.loss };
    throw term.why.failure ?? error;
  } finally {
    term.lost.abort(OVER);
    for (const release of term.resources.reverse()) await release();
  }
}

interface Term {
  readonly context: TermContext;
  /** Aborts when the lead is lost, and at its end. */
  readonly lost: AbortController;
  readonly resources: (() => Promise<void> | void)[];
  /** Why it was lost: another relay or time, or what ended the first session that was lost by itself. */
  readonly why: { loss?: Loss; failure?: unknown };
}

/** Why the signal of a lost lead aborts where nothing was lost. */
const OVER = 'over';

async function leadWith(term: Term): Promise<TermEnd> {
  const { context, lost } = term;
  const { options, leaseSession, epoch } = context;
  watchSession(leaseSession, term);
  // From the first moment: taking over may last longer than the lease, and would be overtaken again and again.
  watchLease(term);
  watchLink(term);
  await joinEpoch(leaseSession, epoch);
  const work = await openTermSession('postcommit relay', term);
  const reading = await openTermSession('postcommit read', term, LOOK_SETTINGS);
  if (!(await takeOver(work, context))) return { kind: 'deposed', reason: 'another relay took over' };
  const parts = await buildParts(term, { work, reading });
  const maintenance = await openTermSession('postcommit maintenance', term);
  const { guarded } = parts;
  const auditor = createAuditor({ ...parts, ...options, session: maintenance });
  if (guarded.kind === 'moved') void auditor.search(guarded);
  for (const lane of [...parts.lanes, ...parts.closing]) runAside(term, lane.tend(lost.signal));
  runAside(term, runMaintenance({ ...parts, auditor, session: maintenance, epoch, options }, lost.signal));
  const operators = { ...parts, audit: () => auditor.search(), session: work, epoch, logger: options.logger };
  runAside(term, serveOperators(operators, running(term)));
  const end = await runLoop({ ...parts, wakeUp: context.wakeUp, turn: context.onTurn }, running(term));
  if (end === 'fenced') return { kind: 'deposed', reason: 'another relay took over' };
  if (lost.signal.aborted) throw new Error('the lead was lost');
  await settle([...parts.lanes, ...parts.closing], context);
  for (const lane of parts.lanes)
    if ((await lane.rest()) === 'fenced') return { kind: 'deposed', reason: 'another relay took over' };
  await parts.pacer.close();
  await releaseIfLeading(leaseSession, epoch);
  return { kind: 'stopped' };
}

function watchLease(term: Term): void {
  const { leaseSession, epoch, options } = term.context;
  const { signal } = term.lost;
  keepLease(leaseSession, { epoch, ttlMs: options.leaseTtlMs, signal }).then(
    (loss) => (loss === undefined ? undefined : lose(term, { loss })),
    (failure: unknown) => lose(term, { failure }),
  );
}

/** Without NATS, in leases, until a standby that has it is asked for. */
const HAND_OVER_AFTER = 3;

function watchLink(term: Term): void {
  const { leaseSession, link, epoch, options } = term.context;
  const { signal } = term.lost;
  const afterMs = HAND_OVER_AFTER * options.leaseTtlMs;
  const handOver = async () => {
    if (!(await shouldHandOver(leaseSession, { isLinked: () => link.connected, afterMs, signal }))) return;
    await releaseIfLeading(leaseSession, epoch);
    lose(term, { loss: 'it cannot reach NATS, and a standby can' });
  };
  handOver().catch((failure: unknown) => lose(term, { failure }));
}

/** The first reason counts: those behind it only follow from it. */
function lose({ lost, why }: Term, reason: Term['why']): void {
  if (lost.signal.aborted) return;
  Object.assign(why, reason);
  lost.abort();
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

/** A session that ends with the lead: a statement that is still waiting for a lost server must not hold up the next term. */
async function openTermSession(
  name: string,
  term: Term,
  settings: Readonly<Record<string, string>> = {},
): Promise<Session> {
  const { context, lost, resources } = term;
  const session = await openSession({
    url: context.options.databaseUrl(),
    name,
    settings: { ...WORK_SETTINGS, ...settings },
    pooled: context.leaseSession.pooled,
    async mayTakeLonger(backend) {
      const waits = await waitsForStandby(context.leaseSession, backend);
      if (waits) context.onStandbyWait();
      if (waits && context.aborting.aborted) session.destroy(); // No standby will come within the grace.
      return waits;
    },
  });
  resources.push(() => session.close());
  watchSession(session, term);
  lost.signal.addEventListener('abort', () => {
    if (lost.signal.reason !== OVER) session.destroy();
  });
  await joinEpoch(session, context.epoch);
  return session;
}

function watchSession(session: Session, term: Term): void {
  session.onFailure((failure) => lose(term, { failure }));
}

interface TermSessions {
  /** Plans, reconciles, parks. */
  readonly work: Session;
  /** Looks and lists: the next look runs while the last one is being planned. */
  readonly reading: Session;
}

async function buildParts(term: Term, { work, reading }: TermSessions) {
  const { options, epoch, wakeUp } = term.context;
  const { logger, metrics } = options;
  const recovery = await recoverCapture(work);
  const guarded = await guardSequence(work, { cursor: recovery.watermark, logger });
  const capture = createCapture(reading, recovery);
  const listener = await openListener(term);
  const router = createRouter(options.lanes);
  const { lanes, closing, meters, takeMoved } = await buildLanes(term, { work, router });
  const lookout = createLookout(capture);
  const planner = {
    lanes,
    router,
    coverage: createCoverage(work, recovery.watermark),
    underWay: createPlansUnderWay(),
    session: work,
    onPlanned: (events: number) => metrics.batchEvents.observe(events),
  };
  const run = (straggler: Straggler) => runAside(term, straggler.run(running(term)));
  const lineUp = createLineUp({ capture, lookout, planner, wake: wakeUp.wake, run });
  const pacer = createPacer({
    session: work,
    epoch,
    wakeUp,
    metrics,
    list: () => capture.list(),
    mayPark: () => listener?.listening ?? false,
  });
  return {
    capture,
    lookout,
    lineUp,
    lanes,
    closing,
    meters,
    pacer,
    router,
    takeMoved,
    captures: () => lineUp.captures,
    readerOf: lineUp.readerOf,
    underWay: planner.underWay,
    coverage: planner.coverage,
    guarded,
  };
}

async function buildLanes({ context, resources }: Term, { work, router }: { work: Session; router: Router }) {
  const { options, link, epoch, wakeUp } = context;
  const { logger, metrics, provision, maxDeadLetters } = options;
  const source = options.source ?? (await readSource(work));
  const cloudEvents = options.cloudEvents === 'binary' ? createCloudEventHeaders(source) : undefined;
  let moved = false;
  const meters: LaneMeter[] = [];
  const build = (laneOptions: LaneOptions, number: number, closing: boolean) => {
    const meter = createLaneMeter({ stream: laneOptions.stream, metrics, logger });
    meters.push(meter);
    const lane = createLane({
      options: laneOptions,
      session: work,
      link,
      epoch,
      source,
      cloudEvents,
      provision,
      maxDeadLetters,
      isElsewhere: (subject) => router(subject) >= 0 && router(subject) !== number,
      onMoved() {
        moved = true;
      },
      closing,
      meter,
      logger,
      wake: wakeUp.wake,
    });
    resources.push(() => {
      lane.close();
      meter.flush();
    });
    return lane;
  };
  const lanes = options.lanes.map((one, number) => build(one, number, false));
  const closing = (await streamsToClose(work, options.lanes)).map((one) => build(one, -1, true));
  context.onLanes(lanes);
  const takeMoved = () => {
    const taken = moved;
    moved = false;
    return taken;
  };
  return { lanes, closing, meters, takeMoved };
}

/** Aborts when nothing more is to be planned. */
function running({ context, lost }: Term): AbortSignal {
  return AbortSignal.any([context.stopping, lost.signal]);
}

/** Something that runs beside the loop: its error, or another epoch that it meets, ends the term. */
function runAside(term: Term, work: Promise<string>): void {
  work.then(
    (end) => (end === 'fenced' ? lose(term, { loss: 'another relay took over' }) : undefined),
    (failure: unknown) => lose(term, { failure }),
  );
}

/** Behind a pooler nobody can listen, and the relay never parks. */
async function openListener(term: Term): Promise<Listener | undefined> {
  const { context, resources } = term;
  const { options, leaseSession, wakeUp } = context;
  if (leaseSession.pooled) return undefined;
  const { logger, metrics } = options;
  const listener = await listen({
    url: options.databaseUrl,
    logger,
    wake: wakeUp.wake,
    onListening: (listening) => metrics.listenUp.set(listening ? 1 : 0),
    onOutdated: (failure) => lose(term, { failure }),
  });
  resources.push(() => listener.close());
  return listener;
}

/** What was planned is settled before the end, unless that takes longer than the grace. */
async function settle(lanes: readonly Lane[], { aborting }: TermContext): Promise<void> {
  await Promise.all(
    lanes.map((lane) => lane.until(() => lane.pending === 0 || lane.state.kind !== 'flowing', aborting)),
  );
}
