import type { ConsumedEvent } from '../../jetstream/index.ts';
import { sleep } from '../../lifecycle/abort.ts';
import { createBackoff } from '../../lifecycle/backoff.ts';
import { type Clock, SYSTEM_CLOCK } from '../../lifecycle/clock.ts';
import { enqueue } from '../../outbox/enqueue.ts';
import type { TransactionHandle } from '../../postgres/transaction-handle.ts';
import { createProcessSpans, type ProcessSpans } from '../../telemetry/process-spans.ts';
import { reasonOf } from '../../telemetry/reason.ts';
import type { Transact } from '../database.ts';
import type { JobResult } from '../meter.ts';
import type { ConsumerSettings, HandlerContext } from '../options.ts';
import type { TroubleLog } from '../trouble.ts';
import { attemptEffects, type EffectOutcome } from './effect.ts';
import { afterFailure, type FailureFate } from './failure.ts';
import type { Job } from './job.ts';
import type { Schedule } from './schedule.ts';
import { watchHandler } from './slow-handler.ts';
import { sourceOf, toProcessed } from './traced.ts';

/** The caller's handler. */
export interface Work<Tx> {
  /** It takes all events of a transaction at once; otherwise one after the other. */
  readonly together: boolean;
  handle(events: readonly ConsumedEvent[], context: HandlerContext<Tx>): Promise<void>;
}

export interface WorkerOptions<Tx> {
  readonly settings: ConsumerSettings;
  readonly schedule: Schedule;
  readonly transact: Transact<Tx>;
  readonly work: Work<Tx>;
  readonly trouble: TroubleLog;
  /** Another instance has taken over. */
  readonly onDeposed: (job: Job) => void;
  /** Aborts when the consumer stops: what waits for the database is handed back. */
  readonly stopping: AbortSignal;
  /** Aborts when handlers have had their time. */
  readonly aborting: AbortSignal;
}

const CONFIRM_TIMEOUT_MS = 5_000;
const DEPOSED_PAUSE_MS = 1_000;

/** Takes claims to their end, one after the other, until the schedule is closed. */
export async function workOff<Tx>(options: WorkerOptions<Tx>): Promise<void> {
  const { schedule, settings } = options;
  for (;;) {
    const claim = await schedule.claim(settings.batchSize);
    if (claim === undefined) return;
    await doAll(claim, options);
    schedule.release(claim);
  }
}

/** In one transaction, or, if that fails, each in its own: one that fails keeps none of the others from success. */
async function doAll<Tx>(claim: readonly Job[], options: WorkerOptions<Tx>): Promise<void> {
  const together = claim.filter(({ alone }) => !alone);
  if (together.length > 1) {
    const outcome = await attemptUntilAnswered(together, options);
    if (outcome.kind !== 'failed') {
      await conclude(together, outcome, options);
      return oneByOne(
        claim.filter(({ alone }) => alone),
        options,
      );
    }
  }
  return oneByOne(claim, options);
}

async function oneByOne<Tx>(jobs: readonly Job[], options: WorkerOptions<Tx>): Promise<void> {
  const waiting = new Set<string>();
  for (const job of jobs) {
    // Behind one of its line that is not over it keeps its place.
    if (waiting.has(job.line)) continue;
    const outcome = await doOne(job, options);
    // Handed back is not done: what comes next in its line would come before it.
    if (!job.over || outcome.kind === 'unavailable') waiting.add(job.line);
  }
}

async function doOne<Tx>(job: Job, options: WorkerOptions<Tx>): Promise<EffectOutcome> {
  const outcome = await attemptUntilAnswered([job], options);
  await conclude([job], outcome, options);
  return outcome;
}

/**
 * An outage of the database is waited out with the messages in hand, kept alive like a slow handler's: nothing is
 * handed back, no attempt is used up, and nothing more is fetched than fits (G7).
 */
async function attemptUntilAnswered<Tx>(
  jobs: readonly Job[],
  options: WorkerOptions<Tx>,
): Promise<EffectOutcome> {
  const { transact, settings, stopping, aborting, trouble } = options;
  const backoff = createBackoff();
  for (let suspicions = 0; ; ) {
    const spans = createProcessSpans(sourceOf(settings, options.work));
    const work = async (tx: Tx, fresh: readonly Job[]) => {
      const events = fresh.map(({ event }) => event);
      const handling = handleAll(events, { work: options.work, context: contextOf(tx, aborting), spans });
      await watchHandler(handling, events, settings);
    };
    const outcome = await attemptEffects(transact, { consumer: settings.durable, jobs, work });
    spans.end('error' in outcome ? outcome : undefined);
    if (outcome.kind !== 'unavailable' || stopping.aborted) return outcome;
    // A database that answers until the handler runs, each time: that is the handler's doing, and would never end.
    suspicions = outcome.inHandler ? suspicions + 1 : 0;
    if (suspicions >= settings.maxAttempts) return { kind: 'failed', error: outcome.error };
    trouble.warn(
      'consumer-database-unavailable',
      reasonOf(outcome.error),
      'The database does not do its part; waiting for it with the message in hand',
    );
    await sleep(backoff.next(), stopping);
  }
}

interface Handling<Tx> {
  readonly work: Work<Tx>;
  readonly context: HandlerContext<Tx>;
  readonly spans: ProcessSpans;
}

async function handleAll<Tx>(
  events: readonly ConsumedEvent[],
  { work, context, spans }: Handling<Tx>,
): Promise<void> {
  for (const part of work.together ? [events] : events.map((event) => [event]))
    await spans.run(part.map(toProcessed), () => work.handle(part, context));
}

function contextOf<Tx>(tx: Tx, signal: AbortSignal): HandlerContext<Tx> {
  const write = enqueue.bind(undefined, tx as TransactionHandle);
  return { tx, enqueue: write as HandlerContext<Tx>['enqueue'], signal };
}

async function conclude<Tx>(
  jobs: readonly Job[],
  outcome: EffectOutcome,
  options: WorkerOptions<Tx>,
): Promise<void> {
  switch (outcome.kind) {
    case 'done':
      await Promise.all(
        jobs.map((job) => settle(job, outcome.fresh.has(job) ? 'effect' : 'duplicate', options)),
      );
      return;
    case 'failed':
      for (const job of jobs) await fail(job, outcome.error, options);
      return;
    case 'unavailable':
      for (const job of jobs) handBack(job, 0);
      return;
    case 'deposed':
      for (const job of jobs) options.onDeposed(job);
      for (const job of jobs) job.dueMs = options.settings.clock.now() + DEPOSED_PAUSE_MS;
  }
}

async function settle<Tx>(job: Job, result: JobResult, { settings }: WorkerOptions<Tx>): Promise<void> {
  job.over = true;
  // A dead letter's time is that of its first failure, and its retry an operator's.
  const storedAt = result === 'effect' && job.letter === undefined ? job.event.time : undefined;
  settings.meter.settled(result, storedAt);
  if (result === 'dead') job.delivery?.term();
  else if (settings.confirmAck) await job.delivery?.confirm(CONFIRM_TIMEOUT_MS);
  else job.delivery?.ack();
}

async function fail<Tx>(job: Job, error: unknown, options: WorkerOptions<Tx>): Promise<void> {
  const fate = await afterFailure(job, error, options);
  if (fate.kind === 'dead') return settle(job, 'dead', options);
  if (fate.kind === 'done elsewhere') return settle(job, 'duplicate', options);
  if (fate.kind === 'parked again') job.over = true;
  else postpone(job, fate, options.settings);
  options.settings.meter.settled('failed');
}

/** In its place where an order is kept; elsewhere the server delivers it again, to whichever instance asks. */
function postpone(
  job: Job,
  { delayMs }: FailureFate & { kind: 'retry' },
  { clock }: Pick<ConsumerSettings, 'clock'>,
): void {
  job.tried = true;
  job.alone = true;
  job.event = { ...job.event, redelivered: true, deliveryCount: job.event.deliveryCount + 1 };
  job.dueMs = clock.now() + delayMs;
  if (job.lease !== undefined) return;
  if (clock === SYSTEM_CLOCK) handBack(job, delayMs);
  else keepInHand(job, delayMs, clock);
}

/** The server waits by its own clock: by another one the message is kept here, and kept alive like all that is in hand. */
function keepInHand(job: Job, delayMs: number, clock: Clock): void {
  job.over = true;
  clock.setTimer(delayMs, () => job.delivery?.nak(0));
}

function handBack(job: Job, delayMs: number): void {
  job.over = true;
  job.delivery?.nak(delayMs);
}
