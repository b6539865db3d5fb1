import { PostcommitError } from '../errors.ts';
import type { BrokerLink } from '../jetstream/index.ts';
import { sleep } from '../lifecycle/abort.ts';
import type { Transact } from './database.ts';
import { type DeliverOptions, deliver } from './deliver.ts';
import type { DurableOutcome, DurableState } from './durable.ts';
import { keepPulling } from './keep-pulling.ts';
import type { ConsumerSettings, Handler } from './options.ts';
import { createPull, type Pull } from './pull.ts';
import { createTroubleLog } from './trouble.ts';

/** A consumer at work. */
export interface Consumer extends AsyncDisposable {
  /** Resolves when the durable stands and messages are asked for. */
  readonly ready: Promise<void>;
  /** Resolves after `stop()`; rejects if a connection of the caller's was closed under the consumer. */
  readonly closed: Promise<void>;
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
  readonly transact: Transact<Tx>;
  readonly handler: Handler<Tx>;
  /** Finds or creates the durable. */
  readonly find: () => Promise<DurableOutcome>;
  /** Closes what was opened for this consumer. */
  readonly release: () => Promise<void>;
}

/** For a handler that heeds its signal to unwind, and for the server to confirm. */
const LAST_MOMENT_MS = 1_000;

export function startConsumer<Tx>(parts: ConsumerParts<Tx>): Consumer {
  const { settings, link, find, release } = parts;
  const stopping = new AbortController();
  const aborting = new AbortController();
  const ready = createDeferred();
  const closed = createDeferred();
  const trouble = createTroubleLog(settings.logger, settings.durable);
  const pull = createPull({ ...settings, link });
  const keepAlive = createKeepAlive(pull);
  const noteDifferences = createDifferenceLog(settings);

  const onFound = (state: DurableState) => {
    keepAlive.every(state.ackWaitMs / 3);
    noteDifferences(state.differences);
    ready.resolve();
  };
  const deliverOptions = { ...parts, trouble, stopping: stopping.signal, aborting: aborting.signal };
  const workers = Promise.all(Array.from({ length: settings.concurrency }, () => work(pull, deliverOptions)));
  const pulling = keepPulling({ link, pull, trouble, find, onFound, signal: stopping.signal });

  const shutDown = async ({ graceMs = 10_000 }: StopOptions = {}) => {
    stopping.abort();
    await within(pull.stop(), LAST_MOMENT_MS);
    if (!(await within(workers, graceMs))) {
      aborting.abort();
      await within(workers, LAST_MOMENT_MS);
    }
    keepAlive.stop();
    const left = pull.handBackAll();
    if (left > 0)
      settings.logger.warn({ event: 'consumer-left-handlers', count: left }, 'Handlers were left behind');
    if (link.connected) await within(link.connection.flush(), LAST_MOMENT_MS);
    await release();
    ready.reject(neverFound(settings));
  };
  let stopped: Promise<void> | undefined;
  const stop = (options?: StopOptions) => {
    stopped ??= shutDown(options).then(closed.resolve, closed.reject);
    return stopped;
  };
  void pulling.then(async (error) => {
    if (error === undefined) return;
    settings.logger.error(
      { event: 'consumer-failed', consumer: settings.durable, reason: error.message },
      error.hint,
    );
    ready.reject(error);
    closed.reject(error);
    await stop();
  });
  return { ready: ready.promise, closed: closed.promise, stop, [Symbol.asyncDispose]: stop };
}

async function work<Tx>(pull: Pull, options: DeliverOptions<Tx>): Promise<void> {
  const { durable, metrics } = options.settings;
  for (let delivery = await pull.next(); delivery !== undefined; delivery = await pull.next()) {
    const result = await deliver(delivery, options);
    if (result !== undefined) metrics?.consumedEvents.inc({ consumer: durable, result });
  }
}

function neverFound({ stream, durable }: ConsumerSettings): PostcommitError {
  return new PostcommitError(
    'stream-unsuitable',
    `the consumer was stopped before its durable '${durable}' stood on the stream '${stream}'`,
    'The warnings it logged say what was in the way.',
  );
}

/** Without it, what waits behind a slow handler or an outage would be delivered again. */
function createKeepAlive(pull: Pull) {
  let timer: NodeJS.Timeout | undefined;
  return {
    every(ms: number) {
      clearInterval(timer);
      timer = setInterval(() => pull.keepAlive(), ms);
    },
    stop: () => clearInterval(timer),
  };
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
