import { PostcommitError } from '../errors.ts';
import { requireInbox } from '../inbox/presence.ts';
import { type BorrowedLink, borrowLink } from '../jetstream/index.ts';
import { reasonOf } from '../telemetry/reason.ts';
import {
  type ConsumerDatabase,
  createTransact,
  inTransaction,
  type Transact,
  type TransactionOf,
} from './database.ts';
import { createFinder } from './delivery/find-durable.ts';
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
  return start(options, {
    together: false,
    async handle(events, context) {
      for (const event of events) await handler(event, context);
    },
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
  return start(
    { batchSize: 100, ...options },
    { together: true, handle: async (events, context) => handler(events, context) },
  );
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
    await checkDatabase(transact, settings);
    broker = await borrowLink(options.nats, settings.logger);
    const { link } = broker;
    const find = createFinder({ link, settings, askInbox: (ask) => inTransaction(transact, ask) });
    const first = await find();
    if (first.kind === 'unsuitable') throw first.error;
    return startConsumer({ settings, link, db: options.db, transact, work, find, release });
  } catch (error) {
    await release();
    throw error;
  }
}

async function checkDatabase<Tx>(transact: Transact<Tx>, { order }: ConsumerSettings): Promise<void> {
  const needed = { leases: order !== 'none' };
  try {
    await inTransaction(transact, (transaction) => requireInbox(transaction, needed));
  } catch (error) {
    if (error instanceof PostcommitError) throw error;
    throw new PostcommitError(
      'database-unreachable',
      `the consumer's database cannot be used: ${reasonOf(error)}`,
      'Check that the server runs and that `db` names the right host, database and role.',
      { cause: error },
    );
  }
}
