import { messageOf, PostcommitError } from '../errors.ts';
import { recordedAmong } from '../inbox/recorded.ts';
import type { BrokerLink } from '../jetstream/index.ts';
import type { ConsumerLease } from '../lease/consumer-lease.ts';
import { sleep } from '../lifecycle/abort.ts';
import { type ConsumerDatabase, inTransaction, type Transact } from './database.ts';
import type { DurableOutcome, DurableState } from './delivery/durable.ts';
import { connectionClosed } from './delivery/keep-pulling.ts';
import { campaign, type Role } from './lead/campaign.ts';
import { openLeaseSession } from './lead/lease-session.ts';
import { keepMeasuring } from './measure.ts';
import type { ConsumerSettings } from './options.ts';
import { createTerm, type Term } from './term.ts';
import { createTroubleLog } from './trouble.ts';
import { keepUp } from './upkeep.ts';
import type { Job } from './work/job.ts';
import { offerRetriedLetters } from './work/retried-letters.ts';
import { createSchedule } from './work/schedule.ts';
import { type Work, workOff } from './work/worker.ts';

/** A consumer at work. */
export interface Consumer extends AsyncDisposable {
  /** Resolves when the durable stands and messages are asked for, or when another instance does that and this one stands by. */
  readonly ready: Promise<void>;
  /** Resolves after `stop()`; rejects if a connection of the caller's was closed under the consumer. */
  readonly closed: Promise<void>;
  /** Whether this instance works. With `order: 'none'` each does. */
  readonly role: Role;
  /**
   * Takes no more messages, lets running handlers finish and hands everything else back at once. After `graceMs`
   * (default 10,000) the handlers' signal aborts, and a second later they are left behind: what they still commit
   * counts once all the same.
   */
  stop(options?: StopOptions): Promise<void>;
}

export interface StopOptions {
  readonly graceMs?: number;
}

export interface ConsumerParts<Tx> {
  readonly settings: ConsumerSettings;
  readonly link: BrokerLink;
  readonly db: ConsumerDatabase;
  readonly transact: Transact<Tx>;
  readonly work: Work<Tx>;
  /** Finds or creates the durable. */
  readonly find: () => Promise<DurableOutcome>;
  /** Closes what was opened for this consumer. */
  readonly release: () => Promise<void>;
}

/** For a handler that heeds its signal to unwind, and for the server to confirm. */
const LAST_MOMENT_MS = 1_000;
/** Milliseconds as a rule; a server that does not answer is asked for so long. */
const LETTING_GO_MS = 5_000;

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: what lives as long as the consumer, in one place.
export function startConsumer<Tx>(parts: ConsumerParts<Tx>): Consumer {
  const { settings, link, release, transact } = parts;
  const stopping = new AbortController();
  const aborting = new AbortController();
  const ready = createDeferred();
  const closed = createDeferred();
  const drained = createDeferred();
  const trouble = createTroubleLog(settings.logger, settings.durable);
  const noteDifferences = createDifferenceLog(settings);
  let role: Role = settings.order === 'none' ? 'active' : 'standby';
  settings.meter.role(role);
  let term: Term | undefined;
  let depose: (job: Job) => void = () => undefined;
  const schedule = createSchedule({ onRoom: () => term?.ask(), clock: settings.clock });
  const worker = {
    ...parts,
    schedule,
    trouble,
    onDeposed: (job: Job) => depose(job),
    stopping: stopping.signal,
    aborting: aborting.signal,
  };
  const workers = Promise.all(Array.from({ length: settings.concurrency }, () => workOff(worker)));
  const aside = { settings, link, transact, trouble, signal: stopping.signal };
  const upkeep = Promise.all([keepUp(aside), keepMeasuring(aside)]);

  const serve = async (lease: ConsumerLease | undefined, signal: AbortSignal): Promise<void> => {
    const deposed = new AbortController();
    depose = ({ lease: of }) => {
      if (of?.epoch === lease?.epoch) deposed.abort();
    };
    const ended = AbortSignal.any([signal, deposed.signal]);
    const onFound = (state: DurableState) => {
      noteDifferences(state.differences);
      ready.resolve();
    };
    const recorded = (eventIds: readonly string[]) =>
      inTransaction(transact, (transaction) =>
        recordedAmong(transaction, { consumer: settings.durable, eventIds }),
      );
    const current = createTerm({ ...parts, schedule, trouble, lease, onFound, recorded });
    term = current;
    const letters = offerRetriedLetters({ settings, transact, schedule, trouble, lease, signal: ended });
    try {
      const error = await current.run(ended);
      if (error !== undefined) void fail(error);
    } finally {
      deposed.abort();
      await letters;
      if (stopping.signal.aborted) await drained.promise;
      else {
        schedule.clear();
        current.leaveAll();
      }
    }
  };
  const serving =
    settings.order === 'none'
      ? serve(undefined, stopping.signal)
      : campaign({
          consumer: `${settings.stream}/${settings.durable}`,
          ttlMs: settings.leaseTtlMs,
          trouble,
          openSession: () => openLeaseSession(parts.db, { transact, ttlMs: settings.leaseTtlMs }),
          onRole(next) {
            if (role !== next)
              settings.logger.info({ event: 'consumer-role', consumer: settings.durable, role: next });
            role = next;
            settings.meter.role(next);
          },
          onStandby: () => ready.resolve(),
          serve,
          signal: stopping.signal,
        });

  // What nothing expects must not end a process that is not ours.
  serving.catch((error: unknown) => void fail(unexpected(error)));

  const shutDown = async ({ graceMs = 10_000 }: StopOptions = {}) => {
    stopping.abort();
    const waiting = schedule.close();
    // What was handed back before the server knows that we ask for nothing would come to us.
    await within(term?.stopped ?? Promise.resolve(), LETTING_GO_MS);
    // Those that came meanwhile, too.
    for (const { delivery } of [...waiting, ...schedule.clear()]) delivery?.nak(0);
    if (!(await within(workers, graceMs))) {
      aborting.abort();
      await within(workers, LAST_MOMENT_MS);
    }
    const left = term?.handBackAll() ?? 0;
    if (left > 0)
      settings.logger.warn({ event: 'consumer-left-handlers', count: left }, 'Handlers were left behind');
    if (link.connected) await within(link.connection.flush(), LAST_MOMENT_MS);
    drained.resolve();
    await within(Promise.all([serving, upkeep]), LAST_MOMENT_MS);
    settings.meter.end();
    await release();
    ready.reject(neverFound(settings));
  };
  let stopped: Promise<void> | undefined;
  const stop = (options?: StopOptions) => {
    stopped ??= shutDown(options).then(closed.resolve, closed.reject);
    return stopped;
  };
  let failed = false;
  async function fail(error: PostcommitError): Promise<void> {
    if (failed) return;
    failed = true;
    settings.logger.error(
      { event: 'consumer-failed', consumer: settings.durable, reason: error.message },
      error.hint,
    );
    ready.reject(error);
    closed.reject(error);
    await stop();
  }
  // A standby would not notice: it asks for nothing.
  void link.connection.closed().then(() => {
    if (!stopping.signal.aborted) void fail(connectionClosed());
  });
  return {
    ready: ready.promise,
    closed: closed.promise,
    get role() {
      return role;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function unexpected(error: unknown): PostcommitError {
  return new PostcommitError(
    'service-failed',
    `the consumer ended unexpectedly: ${messageOf(error)}`,
    'This is a fault of postcommit: please report it. Start the consumer again; nothing is lost.',
    { cause: error },
  );
}

function neverFound({ stream, durable }: ConsumerSettings): PostcommitError {
  return new PostcommitError(
    'stream-unsuitable',
    `the consumer was stopped before its durable '${durable}' stood on the stream '${stream}'`,
    'The warnings it logged say what was in the way.',
  );
}

/** Says once, not at each reconnect, what about the durable is not as asked for. */
function createDifferenceLog({ logger, durable }: ConsumerSettings) {
  let noted = '';
  return (differences: readonly string[]) => {
    const text = differences.join('; ');
    if (text === noted) return;
    noted = text;
    if (text === '') return;
    logger.warn(
      { event: 'consumer-durable-differs', consumer: durable, differences },
      `The durable is kept as it is: ${text}`,
    );
  };
}

/** True if the promise settled in time. Rejections count as settled. */
async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const done = new AbortController();
  const settled = promise.then(
    () => true,
    () => true,
  );
  const inTime = await Promise.race([settled, sleep(ms, done.signal).then(() => false)]);
  done.abort();
  return inTime;
}

interface Deferred {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: unknown): void;
}

function createDeferred(): Deferred {
  let resolve: Deferred['resolve'] = () => undefined;
  let reject: Deferred['reject'] = () => undefined;
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  // Nobody has to look at it.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
