import { pruneConsumerLetters } from '../dead-letters/consumer-letters.ts';
import { pruneFailures } from '../dead-letters/failures.ts';
import { pruneInbox } from '../inbox/prune.ts';
import { type BrokerLink, lookUpStream } from '../jetstream/index.ts';
import { sleep } from '../lifecycle/abort.ts';
import type { Transaction } from '../postgres/transaction-handle.ts';
import { reasonOf } from '../telemetry/reason.ts';
import { inTransaction, type Transact } from './database.ts';
import type { ConsumerSettings } from './options.ts';
import type { TroubleLog } from './trouble.ts';

export interface UpkeepOptions<Tx> {
  readonly settings: ConsumerSettings;
  readonly link: BrokerLink;
  readonly transact: Transact<Tx>;
  readonly trouble: TroubleLog;
  readonly signal: AbortSignal;
}

const EVERY_MS = 60_000;
/** Longer than any pause between two attempts: what is pruned begins to count anew. */
const FAILURES_KEPT_MS = 30 * 24 * 60 * 60 * 1_000;
const AT_MOST = 1_000;
/** Between two portions: the inbox is written to meanwhile. */
const BREATHE_MS = 50;

/** Forgets what can never be needed again, in small transactions. */
export async function keepUp<Tx>(options: UpkeepOptions<Tx>): Promise<void> {
  const { signal, trouble } = options;
  while (!signal.aborted) {
    // Not all instances at once.
    await sleep(EVERY_MS * (0.5 + Math.random()), signal);
    if (signal.aborted) return;
    await prunePast(options).catch((error: unknown) => {
      trouble.warn(
        'consumer-upkeep-failed',
        reasonOf(error),
        'The inbox could not be pruned; it is tried again',
      );
    });
  }
}

/** Once: what the stream does not hold any more and nobody has to remember. */
export async function prunePast<Tx>({ settings, link, transact, signal }: UpkeepOptions<Tx>): Promise<void> {
  const { durable: consumer, stream, inboxRetentionMs: olderThanMs } = settings;
  const run = <Result>(work: (transaction: Transaction) => Promise<Result>) => inTransaction(transact, work);
  await run((transaction) => pruneFailures(transaction, { consumer, olderThanMs: FAILURES_KEPT_MS }));
  await run((transaction) => pruneConsumerLetters(transaction, { consumer, olderThanMs }));
  const lookup = await lookUpStream(link, stream);
  if (lookup.kind !== 'found') return;
  const pruning = {
    consumer,
    stream,
    firstSequence: lookup.state.firstSequence,
    olderThanMs,
    atMost: AT_MOST,
  };
  while (!signal.aborted && (await run((transaction) => pruneInbox(transaction, pruning))) === AT_MOST)
    await sleep(BREATHE_MS, signal);
}
