import type { MessageContent } from '../jetstream/index.ts';
import { eventsWrittenIn } from '../outbox/written-in.ts';
import { recogniseTransaction, type TransactionHandle } from '../postgres/transaction-handle.ts';

/** An event that a transaction has written and not committed yet. */
export interface EnqueuedEvent extends MessageContent {
  /** What `enqueue()` returned, and consumers will see as `event.id`. */
  readonly id: string;
  /** Its place in the outbox. */
  readonly position: number;
}

/**
 * The events that this transaction has written to the outbox so far, in order, whether by `enqueue()` or by SQL: those of
 * other transactions, committed or not, are not among them, and those of a savepoint that was rolled back neither.
 *
 * `tx`: whatever `enqueue()` takes.
 *
 * @throws PostcommitError `outside-transaction`, `migration-missing`, or `database-unsuitable` for a role that may not read
 * the outbox. The transaction goes on.
 */
export async function enqueuedIn(tx: TransactionHandle): Promise<EnqueuedEvent[]> {
  const written = await eventsWrittenIn(recogniseTransaction(tx));
  return written.map(({ eventId, ...event }) => ({
    ...event,
    id: eventId,
    json: () => JSON.parse(event.payload.toString()),
  }));
}
