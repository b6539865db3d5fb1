import { messageOf, PostcommitError } from '../errors.ts';
import { requireInbox } from '../inbox/presence.ts';
import { type BorrowedLink, borrowLink } from '../jetstream/index.ts';
import {
  type ConsumerDatabase,
  createTransact,
  inTransaction,
  type Transact,
  type TransactionOf,
} from './database.ts';
import { type DurableOutcome, type DurableProgress, provideDurable } from './delivery/durable.ts';
import {
  type BatchHandler,
  type ConsumeOptions,
  type ConsumerSettings,
  type Handler,
  resolveOptions,
} from './options.ts';
import { absorbConnectionErrors } from './pool-errors.ts';
import { type Consumer, startConsumer } from './running.ts';
import type { Work } from './work/worker.ts';

/**
 * Hands each message of a stream to the handler, with one effect each: the handler's writes, its follow-up events
 * and the inbox row commit together, and a redelivery finds the row. Then the message is acknowledged.
 *
 * Resolves when NATS and the database were reached; a stream that does not exist yet is waited for. From then on
 * outages are waited out, and the consumer runs until `stop()`.
 *
 * @throws PostcommitError for options, a database or a durable that cannot work, and servers that do not answer.
 */
export async function consume<const Database extends ConsumerDatabase>(
  options: ConsumeOptions<Database>,
  handler: Handler<TransactionOf<Database>>,
): Promise<Consumer> {
  return start(options, async (events, context) => {
    for (const event of events) await handler(event, context);
  });
}

/**
 * As `consume()`, with all events of a transaction at once, so that they can be written by one statement. Choose
 * `batchSize`; its default is 100 here.
 */
export async function consumeBatches<const Database extends ConsumerDatabase>(
  options: ConsumeOptions<Database>,
  handler: BatchHandler<TransactionOf<Database>>,
): Promise<Consumer> {
  return start({ batchSize: 100, ...options }, async (events, context) => handler(events, context));
}

async function start<Database extends ConsumerDatabase>(
  options: ConsumeOptions<Database>,
  work: Work<TransactionOf<Database>>,
): Promise<Consumer> {
  const settings = resolveOptions(options);
  const transact = createTransact(options.db);
  const forgetDatabase = absorbConnectionErrors(options.db);
  let broker: BorrowedLink | undefined;
  const release = async () => {
    forgetDatabase();
    await broker?.release();
  };
  try {
    await checkDatabase(transact);
    broker = await borrowLink(options.nats, settings.logger);
    const find = createFinder(broker, settings);
    const first = await find();
    if (first.kind === 'unsuitable') throw first.error;
    return startConsumer({ settings, link: broker.link, db: options.db, transact, work, find, release });
  } catch (error) {
    await release();
    throw error;
  }
}

/** Finds the durable, and remembers how far it had got in case it vanishes, and where the stream has lost its tail. */
function createFinder({ link }: BorrowedLink, settings: ConsumerSettings) {
  // Twice the prefetch: what one instance holds does not keep another from working.
  const definition = { ...settings, maxAckPending: Math.max(1_000, 2 * settings.prefetch) };
  let last: DurableProgress | undefined;
  let rewoundTo: number | undefined;
  return async (): Promise<DurableOutcome> => {
    const outcome = await provideDurable(link, definition, last);
    if (outcome.kind === 'unavailable' && outcome.rewoundTo !== undefined)
      rewoundTo = Math.min(rewoundTo ?? outcome.rewoundTo, outcome.rewoundTo);
    if (outcome.kind !== 'ready') return outcome;
    last = furthest(last, outcome.state.progress);
    const state = { ...outcome.state, ...(rewoundTo === undefined ? {} : { rewoundTo }) };
    rewoundTo = undefined;
    return { kind: 'ready', state };
  };
}

/** A durable that was just created says 0 until something is acknowledged, wherever it began. */
function furthest(last: DurableProgress | undefined, now: DurableProgress): DurableProgress {
  return last?.incarnation === now.incarnation && last.ackFloor > now.ackFloor ? last : now;
}

async function checkDatabase<Tx>(transact: Transact<Tx>): Promise<void> {
  try {
    await inTransaction(transact, requireInbox);
  } catch (error) {
    if (error instanceof PostcommitError) throw error;
    throw new PostcommitError(
      'database-unreachable',
      `the consumer's database cannot be used: ${messageOf(error)}`,
      'Check that the server runs and that `db` names the right host, database and role.',
      { cause: error },
    );
  }
}
