import { messageOf, PostcommitError } from '../errors.ts';
import { requireInbox } from '../inbox/presence.ts';
import { recogniseTransaction, type TransactionHandle } from '../postgres/transaction-handle.ts';
import { type Broker, openBroker } from './broker.ts';
import { type ConsumerDatabase, createTransact, type Transact, type TransactionOf } from './database.ts';
import { type DurableProgress, provideDurable } from './durable.ts';
import { type ConsumeOptions, type ConsumerSettings, type Handler, resolveOptions } from './options.ts';
import { absorbConnectionErrors } from './pool-errors.ts';
import { type Consumer, startConsumer } from './running.ts';

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
  const settings = resolveOptions(options);
  const transact = createTransact(options.db);
  const forgetDatabase = absorbConnectionErrors(options.db);
  let broker: Broker | undefined;
  const release = async () => {
    forgetDatabase();
    await broker?.release();
  };
  try {
    await checkDatabase(transact);
    broker = await openBroker(options.nats, settings.logger);
    const find = createFinder(broker, settings);
    const first = await find();
    if (first.kind === 'unsuitable') throw first.error;
    return startConsumer({ settings, link: broker.link, transact, handler, find, release });
  } catch (error) {
    await release();
    throw error;
  }
}

/** Finds the durable, and remembers how far it had got in case it vanishes. */
function createFinder({ link }: Broker, settings: ConsumerSettings) {
  // Twice the prefetch: what one instance holds does not keep another from working.
  const definition = { ...settings, maxAckPending: Math.max(1_000, 2 * settings.prefetch) };
  let last: DurableProgress | undefined;
  return async () => {
    const outcome = await provideDurable(link, definition, last);
    if (outcome.kind === 'ready') last = furthest(last, outcome.state.progress);
    return outcome;
  };
}

/** A durable that was just created says 0 until something is acknowledged, wherever it began. */
function furthest(last: DurableProgress | undefined, now: DurableProgress): DurableProgress {
  return last?.incarnation === now.incarnation && last.ackFloor > now.ackFloor ? last : now;
}

async function checkDatabase<Tx>(transact: Transact<Tx>): Promise<void> {
  try {
    await transact(async (tx) => requireInbox(await recogniseTransaction(tx as TransactionHandle)));
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
