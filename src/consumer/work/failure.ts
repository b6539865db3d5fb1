import { parkLetterAgain, writeConsumerLetter } from '../../dead-letters/consumer-letters.ts';
import { countFailure, type Failures, forgetFailures } from '../../dead-letters/failures.ts';
import { enterEffects } from '../../lease/consumer-lease.ts';
import { reasonOf } from '../../telemetry/reason.ts';
import { inTransaction, type Transact } from '../database.ts';
import type { ConsumerSettings } from '../options.ts';
import type { TroubleLog } from '../trouble.ts';
import { freshAmong } from './effect.ts';
import type { Job } from './job.ts';
import { delayAfter, judgeFailure } from './verdict.ts';

/** What becomes of an event whose handler failed. */
export type FailureFate =
  | { readonly kind: 'retry'; readonly delayMs: number }
  /** It is a dead letter now, and its inbox row says so to every redelivery. */
  | { readonly kind: 'dead' }
  /** Another instance has had its effect meanwhile, or has given it up. */
  | { readonly kind: 'done elsewhere' }
  /** A dead letter whose retry failed. */
  | { readonly kind: 'parked again' };

export interface FailureOptions<Tx> {
  readonly settings: ConsumerSettings;
  readonly transact: Transact<Tx>;
  readonly trouble: TroubleLog;
  readonly onDeposed: (job: Job) => void;
}

/** Counts the failure in the database and decides. If that is not possible now, the event is tried again, uncounted. */
export async function afterFailure<Tx>(
  job: Job,
  error: unknown,
  options: FailureOptions<Tx>,
): Promise<FailureFate> {
  const { settings, trouble } = options;
  const reason = reasonOf(error);
  try {
    if (job.letter !== undefined) return await parkAgain(job, reason, options);
    const failures = await count(job, reason, options);
    const verdict = judgeFailure(error, failures.attempts, settings);
    const fate = verdict.kind === 'retry' ? verdict : await bury(job, { reason, failures }, options);
    tell(job, { reason, attempts: failures.attempts, fate }, settings);
    return fate;
  } catch (thrown) {
    trouble.warn(
      'consumer-database-unavailable',
      reasonOf(thrown),
      'A failure could not be written down; the event is tried again',
    );
    return { kind: 'retry', delayMs: delayAfter(1, settings.backoff) };
  }
}

function count<Tx>(job: Job, reason: string, { settings, transact }: FailureOptions<Tx>): Promise<Failures> {
  return inTransaction(transact, (transaction) =>
    countFailure(transaction, failedEvent(job, settings), reason),
  );
}

/** First the dead letter and the inbox row, together; the server is told after their commit. */
async function bury<Tx>(
  job: Job,
  { reason, failures }: { reason: string; failures: Failures },
  { settings, transact, onDeposed }: FailureOptions<Tx>,
): Promise<FailureFate> {
  const { durable: consumer } = settings;
  return inTransaction<Tx, FailureFate>(transact, async (transaction) => {
    if (job.lease !== undefined) await enterEffects(transaction, job.lease);
    const fresh = await freshAmong(transaction, consumer, [job]);
    if (fresh === undefined) {
      onDeposed(job);
      return { kind: 'retry', delayMs: settings.backoff.maxMs };
    }
    if (fresh.length === 0) return { kind: 'done elsewhere' };
    await writeConsumerLetter(
      transaction,
      { ...failedEvent(job, settings), ...job.event },
      { reason, failures },
    );
    await forgetFailures(transaction, { consumer, eventIds: [job.event.id] });
    return { kind: 'dead' };
  });
}

async function parkAgain<Tx>(
  { letter, lease }: Job,
  reason: string,
  { transact }: FailureOptions<Tx>,
): Promise<FailureFate> {
  await inTransaction(transact, (transaction) =>
    parkLetterAgain(transaction, { id: letter ?? 0, reason, lease }),
  );
  return { kind: 'parked again' };
}

function failedEvent({ event }: Job, { durable }: ConsumerSettings) {
  return { consumer: durable, eventId: event.id, stream: event.stream, sequence: event.sequence };
}

function tell(
  { event }: Job,
  { reason, attempts, fate }: { reason: string; attempts: number; fate: FailureFate },
  { logger, durable }: ConsumerSettings,
): void {
  const facts = { consumer: durable, sequence: event.sequence, attempts, reason };
  if (fate.kind === 'retry')
    logger.warn(
      { event: 'consumer-handler-failed', ...facts, retryInMs: Math.round(fate.delayMs) },
      'The handler failed; the event will be tried again',
    );
  else if (fate.kind === 'dead')
    logger.error(
      { event: 'consumer-dead-letter', ...facts },
      'The handler failed for the last time; the event is a dead letter: postcommit dead-letters list',
    );
}
