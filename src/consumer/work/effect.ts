import { resolveLetter } from '../../dead-letters/consumer-letters.ts';
import { forgetFailures } from '../../dead-letters/failures.ts';
import { PostcommitError, withoutWrapper } from '../../errors.ts';
import { judgeRecord, type Recorded, type RecordOptions, recordNew, recordText } from '../../inbox/record.ts';
import { afterEntry, effectsEntry } from '../../lease/consumer-lease.ts';
import { isOutageState, serverErrorOf } from '../../postgres/server-error.ts';
import {
  recogniseTransaction,
  type Transaction,
  type TransactionHandle,
} from '../../postgres/transaction-handle.ts';
import type { Transact } from '../database.ts';
import type { Job } from './job.ts';

/** How one attempt at the effects of some events ended: all of them or none (G5). */
export type EffectOutcome =
  /** `fresh`: those that had an effect now; the others have had theirs. */
  | { readonly kind: 'done'; readonly fresh: ReadonlySet<Job> }
  /** The handler's doing, or another transaction in its way: worth another attempt later. */
  | { readonly kind: 'failed'; readonly error: unknown }
  /** The database's: says nothing about these events, unless it comes again and again once their handler runs. */
  | { readonly kind: 'unavailable'; readonly error: unknown; readonly inHandler: boolean }
  /** Another instance has taken over. */
  | { readonly kind: 'deposed' };

export interface Effects<Tx> {
  readonly consumer: string;
  /** Messages under one lease, or a single dead letter. */
  readonly jobs: readonly Job[];
  work(tx: Tx, fresh: readonly Job[]): Promise<void>;
}

/** How far an attempt got. */
interface Progress {
  at: 'record' | 'handler' | 'commit';
  /** What the handler threw, if it did. */
  handlerError?: unknown;
}

/** Runs the work in one transaction with the inbox rows of its events, for those that have none yet. */
export async function attemptEffects<Tx>(
  transact: Transact<Tx>,
  { consumer, jobs, work }: Effects<Tx>,
): Promise<EffectOutcome> {
  const progress: Progress = { at: 'record' };
  const lease = jobs[0]?.lease;
  const entry = lease === undefined ? [] : [effectsEntry(lease)];
  // A dead letter is resolved instead, and what cannot be said without parameters is recorded by a statement of its own.
  const record = jobs.some(({ letter }) => letter !== undefined) ? undefined : recordOf(consumer, jobs);
  const text = record && recordText(record);
  try {
    return await transact<EffectOutcome>(
      async (tx, opened) => {
        const transaction = recogniseTransaction(tx as TransactionHandle);
        if (lease !== undefined) await afterEntry(transaction, lease, opened[0]?.[0]);
        const rows = text === undefined ? undefined : opened[entry.length];
        const fresh =
          record === undefined || rows === undefined
            ? await freshAmong(transaction, consumer, jobs)
            : freshBy(await judgeRecord(transaction, record, rows), jobs);
        if (fresh === undefined) return { kind: 'deposed' };
        if (fresh.length === 0) return { kind: 'done', fresh: new Set() };
        progress.at = 'handler';
        await work(tx, fresh).catch((thrown: unknown) => {
          progress.handlerError = thrown;
          throw thrown;
        });
        progress.at = 'commit';
        const eventIds = fresh.filter(({ tried }) => tried).map(({ event }) => event.id);
        if (eventIds.length > 0) await forgetFailures(transaction, { consumer, eventIds });
        return { kind: 'done', fresh: new Set(fresh) };
      },
      { opening: text === undefined ? entry : [...entry, text] },
    );
  } catch (thrown) {
    const error = withoutWrapper(thrown);
    if (!isDatabasesFault(progress, thrown)) return { kind: 'failed', error };
    return { kind: 'unavailable', error, inHandler: progress.at !== 'record' };
  }
}

/**
 * In a transaction that has entered under the lease, if there is one. Undefined: deposed. Of events with the same id, the
 * first is fresh.
 */
export async function freshAmong(
  transaction: Transaction,
  consumer: string,
  jobs: readonly Job[],
): Promise<readonly Job[] | undefined> {
  const [{ lease, letter } = { lease: undefined, letter: undefined }] = jobs;
  if (letter !== undefined) return (await resolveLetter(transaction, letter, lease)) ? jobs : [];
  return freshBy(await recordNew(transaction, recordOf(consumer, jobs)), jobs);
}

function recordOf(consumer: string, jobs: readonly Job[]): RecordOptions {
  // Of copies in one batch the last one's place: the row is needed until the stream has let go of it.
  const last = new Map(jobs.map(({ event }) => [event.id, event.sequence]));
  const events = [...firstById(jobs)].map(([eventId, { event }]) => ({
    eventId,
    stream: event.stream,
    sequence: Math.max(event.sequence, last.get(eventId) ?? 0),
  }));
  return { consumer, events, lease: jobs[0]?.lease };
}

function firstById(jobs: readonly Job[]): ReadonlyMap<string, Job> {
  return new Map(jobs.toReversed().map((job) => [job.event.id, job]));
}

function freshBy(recorded: Recorded, jobs: readonly Job[]): readonly Job[] | undefined {
  if (recorded.kind === 'deposed') return undefined;
  const byId = firstById(jobs);
  return jobs.filter((job) => byId.get(job.event.id) === job && recorded.fresh.has(job.event.id));
}

/**
 * An outage is not poison (G7), and a failing handler is no outage. What counts is where it failed, not how the
 * error looks: a handler may talk to other servers that refuse connections.
 */
function isDatabasesFault({ at, handlerError }: Progress, thrown: unknown): boolean {
  const state = serverErrorOf(thrown)?.code;
  if (state !== undefined && isOutageState(state)) return true;
  switch (at) {
    case 'record':
      // No handler has run: nothing that it says is about one.
      return true;
    case 'handler':
      // The handler's own error comes through only if the rollback after it succeeded.
      return thrown !== handlerError;
    case 'commit':
      // No answer of the server: the outcome is unknown, and the inbox will tell. An answer is a deferred constraint,
      // a serialization failure, or an error that the handler swallowed.
      return state === undefined && !(thrown instanceof PostcommitError);
  }
}
