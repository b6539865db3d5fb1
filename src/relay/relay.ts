import { plannedStreams } from '../batch-log/recover.ts';
import { PostcommitError } from '../errors.ts';
import { type BrokerLink, connectBroker } from '../jetstream/index.ts';
import { leaseSessionName } from '../lease/who-leads.ts';
import { LONGEST_TIMER_MS, sleep } from '../lifecycle/abort.ts';
import { createBackoff } from '../lifecycle/backoff.ts';
import { createDeferred } from '../lifecycle/deferred.ts';
import { createWakeUp } from '../lifecycle/wake-up.ts';
import { missingMigrations } from '../migrate/index.ts';
import {
  assertNotSubscribed,
  assertPositionSequence,
  assertPrimary,
  assertPrivileges,
  mayNotLook,
} from '../outbox/suitability.ts';
import { openSession, type Session, sqlState, unreachable } from '../postgres/session.ts';
import type { Lane } from './lane/lane.ts';
import { prepareStream } from './lane/prepare-stream.ts';
import { campaign } from './leading/campaign.ts';
import { type RelayOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import { forgetLeadership, showRelay } from './relay-gauges.ts';
import { setbackOf, showsPooler } from './setback.ts';
import { lead } from './term.ts';

export type RelayRole = 'starting' | 'standby' | 'leader' | 'stopping' | 'stopped';

export interface LaneStatus {
  readonly stream: string;
  readonly state: 'starting' | 'publishing' | 'paused';
  /** Why it is paused, for a person. */
  readonly reason: string | null;
  /** Planned and not yet confirmed. */
  readonly pending: number;
  /** Of those, sent and not yet answered. */
  readonly inFlight: number;
}

export interface RelayStatus {
  readonly role: RelayRole;
  readonly epoch: number | null;
  /** Why it neither leads nor stands by, for a person; null while it does. */
  readonly reason: string | null;
  readonly databaseConnected: boolean;
  readonly brokerConnected: boolean;
  /** Why NATS cannot be reached and what to do, for a person; null while it can, or that is not known. */
  readonly brokerReason: string | null;
  readonly lanes: readonly LaneStatus[];
  /** `performance.now()` of the last turn of the main loop. */
  readonly lastProgressAtMs: number;
}

export interface StopOptions {
  /** How long planned events may take to be confirmed, in milliseconds. Default 10,000. */
  readonly graceMs?: number;
}

/** A relay: publishes what commits in one database, or stands by for the one that does. */
export interface Relay extends AsyncDisposable {
  /**
   * Checks what a first start can check and begins. Throws a PostcommitError when it cannot work: unreachable
   * servers, missing migrations, a standby, an unfit stream. From then on it reconnects for ever.
   */
  start(): Promise<void>;
  /** Resolves when the relay publishes or stands by for the first time. */
  readonly ready: Promise<'leader' | 'standby'>;
  status(): RelayStatus;
  /** Plans nothing more, settles what was planned, hands over the lease. Safe to call at any time, and again. */
  stop(options?: StopOptions): Promise<void>;
  /** Resolves when the relay has stopped. */
  readonly closed: Promise<void>;
}

const POOLED =
  'DATABASE_URL goes through a connection pooler: the relay polls and leads by time alone, so that a killed leader is replaced when its lease ends, not at once. Name a direct connection for the relay; writers may stay with the pooler';
const STANDBY_MISSING =
  'a commit of the relay waits for a synchronous standby (synchronous_standby_names), and nothing is published that is not on one: bring the standby back, or empty the setting';
/** The session that holds the lease: a dead host must free the lock soon, a missing standby must not cost the lead. */
const LEASE_SETTINGS = {
  synchronous_commit: 'local',
  tcp_keepalives_idle: '5',
  tcp_keepalives_interval: '1',
  tcp_keepalives_count: '3',
  statement_timeout: '10s',
};
const GRACE_MS = 10_000;
/** A term that lasted this long was a success, and the next failure starts with a short delay again. */
const LASTING_TERM_MS = 5_000;
const LOG_EVERY_MS = 1_000;

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one closure over the relay's state, its parts named below.
export function createRelay(userOptions: RelayOptions): Relay {
  const options = resolveOptions(userOptions);
  const { logger, metrics } = options;
  const wakeUp = createWakeUp();
  const stopping = new AbortController();
  const aborting = new AbortController();
  const ready = createDeferred<'leader' | 'standby'>();
  const closed = createDeferred<void>();
  let role: RelayRole = 'starting';
  let epoch: number | null = null;
  let lanes: readonly Lane[] = [];
  let link: BrokerLink | undefined;
  let databaseConnected = false;
  let reason: string | null = null;
  let failureLoggedAtMs = Number.NEGATIVE_INFINITY;
  /** A session looked direct and was not: none is believed again. */
  let pooledUnawares = false;
  let pooledNoted = false;
  let lastProgressAtMs = performance.now();
  let running: Promise<void> | undefined;

  const setRole = (next: RelayRole) => {
    if (role === next || role === 'stopped' || (role === 'stopping' && next !== 'stopped')) return;
    role = next;
    metrics.isLeader.set(next === 'leader' ? 1 : 0);
    logger.info({ event: 'role', role: next, epoch }, `relay is ${next}`);
  };
  const turn = () => {
    lastProgressAtMs = performance.now();
    reason = null;
    // With several streams, one that is down from the start must not keep the others' readiness back.
    if (lanes.some(({ state }) => state.kind === 'flowing')) ready.resolve('leader');
  };
  const fail = (error: unknown) => {
    reason = setbackOf(error);
    pooledUnawares ||= showsPooler(error);
    if (performance.now() - failureLoggedAtMs < LOG_EVERY_MS) return;
    failureLoggedAtMs = performance.now();
    logger.warn({ event: 'term-failed', reason, state: sqlState(error) }, `the relay starts over: ${reason}`);
  };
  const waitForStandby = () => {
    lastProgressAtMs = performance.now(); // A restart would not help.
    if (reason !== STANDBY_MISSING) logger.warn({ event: 'standby-missing' }, STANDBY_MISSING);
    reason = STANDBY_MISSING;
  };
  const notePooler = ({ pooled }: Session) => {
    if (pooled && !pooledNoted) logger.warn({ event: 'pooled' }, POOLED);
    pooledNoted = pooled;
    metrics.pooled.set(pooled ? 1 : 0);
  };

  async function runTerm(session: Session, broker: BrokerLink): Promise<void> {
    const elected = await campaign(session, {
      terms: { member: options.member, ttlMs: options.leaseTtlMs },
      isLinked: () => broker.connected,
      signal: stopping.signal,
      onStandby() {
        lastProgressAtMs = performance.now();
        reason = null;
        setRole('standby');
        ready.resolve('standby');
      },
    });
    if (elected === null) return;
    epoch = elected;
    metrics.leaseEpoch.set(elected);
    setRole('leader');
    const end = await lead({
      options,
      link: broker,
      leaseSession: session,
      epoch: elected,
      wakeUp,
      stopping: stopping.signal,
      aborting: aborting.signal,
      onTurn: turn,
      onStandbyWait: waitForStandby,
      onLanes(current) {
        lanes = current;
      },
    });
    if (end.kind === 'deposed')
      logger.warn(
        { event: 'deposed', epoch: elected, reason: end.reason },
        `relay steps down: ${end.reason}`,
      );
  }

  /** Term after term, for ever: whatever ends one, the next starts from the batch log. */
  async function run(broker: BrokerLink): Promise<void> {
    const backoff = createBackoff({ firstMs: 100, maxMs: 3_000 });
    while (!stopping.signal.aborted) {
      const startedAtMs = performance.now();
      let session: Session | undefined;
      try {
        session = await openLeaseSession(options, { pooled: pooledUnawares });
        notePooler(session);
        databaseConnected = true;
        session.onFailure(() => {
          databaseConnected = false;
        });
        await runTerm(session, broker);
      } catch (error) {
        fail(error);
      } finally {
        lanes = [];
        epoch = null;
        forgetLeadership(metrics);
        databaseConnected = false;
        setRole('starting'); // Before the session is closed, which may take its time on a network that is gone.
        await session?.close();
      }
      lastProgressAtMs = performance.now();
      if (performance.now() - startedAtMs > LASTING_TERM_MS) backoff.reset();
      if (!stopping.signal.aborted) {
        await sleep(backoff.next(), stopping.signal);
        lastProgressAtMs = performance.now();
      }
    }
  }

  async function finish(): Promise<void> {
    await running;
    await link?.close();
    setRole('stopped');
    unshow();
    closed.resolve();
  }

  const relay: Relay = {
    ready: ready.promise,
    closed: closed.promise,
    async start() {
      if (running !== undefined) throw new Error('the relay was started before');
      const planned = await checkDatabase(options);
      const broker = await connectBroker(options.nats, { logger, signal: stopping.signal });
      link = broker;
      try {
        await checkStreams(broker, { ...options, planned });
      } catch (error) {
        await broker.close();
        throw error;
      }
      running = run(broker);
    },
    status: () => ({
      role,
      epoch,
      reason,
      databaseConnected,
      brokerConnected: link?.connected ?? false,
      brokerReason: outageOf(link),
      lanes: options.lanes.map(({ stream }) =>
        laneStatus(
          stream,
          lanes.find((lane) => lane.stream === stream),
        ),
      ),
      lastProgressAtMs,
    }),
    async stop({ graceMs = GRACE_MS } = {}) {
      if (!stopping.signal.aborted) {
        setRole('stopping');
        stopping.abort();
        const timer = setTimeout(() => aborting.abort(), Math.min(graceMs, LONGEST_TIMER_MS));
        void finish().finally(() => clearTimeout(timer));
      }
      await closed.promise;
    },
    [Symbol.asyncDispose]: () => relay.stop(),
  };
  const unshow = showRelay(metrics, {
    streams: options.lanes.map(({ stream }) => stream),
    status: relay.status,
  });
  return relay;
}

function outageOf(link: BrokerLink | undefined): string | null {
  return link?.outage === undefined ? null : `${link.outage.reason}. ${link.outage.hint}`;
}

function laneStatus(stream: string, lane: Lane | undefined): LaneStatus {
  if (lane === undefined) return { stream, state: 'starting', reason: null, pending: 0, inFlight: 0 };
  const { state, obstacle, pending, inFlight } = lane;
  const counts = { pending, inFlight };
  if (obstacle !== undefined) return { stream, state: 'paused', reason: obstacle.reason, ...counts };
  return { stream, state: state.kind === 'flowing' ? 'publishing' : 'starting', reason: null, ...counts };
}

async function openLeaseSession(
  { databaseUrl, leaseTtlMs, member }: ResolvedOptions,
  { pooled = false } = {},
): Promise<Session> {
  const url = databaseUrl();
  const session = await openSession({
    url,
    name: leaseSessionName(member),
    settings: LEASE_SETTINGS,
    queryTimeoutMs: leaseTtlMs,
    pooled,
  });
  try {
    await assertPrimary(session, url);
    await assertNotSubscribed(session);
  } catch (error) {
    await session.close();
    throw error;
  }
  return session;
}

/** Returns the streams that something was planned for: one of those is never made anew without being asked. */
async function checkDatabase(options: ResolvedOptions): Promise<readonly string[]> {
  const session = await openLeaseSession(options);
  try {
    const missing = await missingMigrations(session);
    if (missing.length > 0) {
      throw new PostcommitError(
        'migration-missing',
        `the database lacks ${missing.length === 1 ? 'the migration' : 'the migrations'} ${missing.join(', ')}`,
        'Run `postcommit migrate` (as the role that owns the schema), or start the relay with --migrate.',
      );
    }
    await assertPrivileges(session);
    await assertPositionSequence(session);
    return await plannedStreams(session);
  } catch (error) {
    if (session.failed) throw unreachable(options.databaseUrl(), error);
    if (sqlState(error) !== '42501') throw error;
    const { message, hint } = mayNotLook(error);
    throw new PostcommitError('database-unsuitable', message, hint, { cause: error });
  } finally {
    await session.close();
  }
}

async function checkStreams(
  link: BrokerLink,
  { lanes, provision, planned }: ResolvedOptions & { readonly planned: readonly string[] },
): Promise<void> {
  for (const lane of lanes) {
    const prepared = await prepareStream(link, lane, { provision, planned: planned.includes(lane.stream) });
    if (prepared.kind === 'unfit' && !prepared.outage) {
      throw new PostcommitError(
        'stream-unsuitable',
        prepared.pause.reason,
        'Mend the stream or the configuration, then start again.',
      );
    }
  }
}
