import { messageOf } from '../errors.ts';
import { sleep } from '../lifecycle/abort.ts';
import { createBackoff } from '../lifecycle/backoff.ts';
import { enqueue } from '../outbox/enqueue.ts';
import { withoutWrapper } from '../postgres/server-error.ts';
import type { TransactionHandle } from '../postgres/transaction-handle.ts';
import type { Transact } from './database.ts';
import { attemptEffect, type EffectOutcome } from './effect.ts';
import { isMarker, toConsumedEvent } from './event.ts';
import type { Delivery } from './message.ts';
import type { ConsumerSettings, Handler, HandlerContext } from './options.ts';
import type { TroubleLog } from './trouble.ts';

/** The result a message is counted under. */
export type DeliveryResult = 'effect' | 'duplicate' | 'failed' | 'skipped';

export interface DeliverOptions<Tx> {
  readonly settings: ConsumerSettings;
  readonly transact: Transact<Tx>;
  readonly handler: Handler<Tx>;
  readonly trouble: TroubleLog;
  /** Aborts when the consumer stops: a message that waits for the database is handed back. */
  readonly stopping: AbortSignal;
  /** Aborts when handlers have had their time. */
  readonly aborting: AbortSignal;
}

const CONFIRM_TIMEOUT_MS = 5_000;

/** Takes one message to its end: acknowledged or handed back. Undefined if only an outage stood in the way. */
export async function deliver<Tx>(
  delivery: Delivery,
  options: DeliverOptions<Tx>,
): Promise<DeliveryResult | undefined> {
  if (isMarker(delivery)) {
    await acknowledge(delivery, options.settings);
    return 'skipped';
  }
  const outcome = await attemptUntilAnswered(delivery, options);
  switch (outcome.kind) {
    case 'effect':
    case 'duplicate':
      await acknowledge(delivery, options.settings);
      return outcome.kind;
    case 'failed':
      handBack(delivery, options, outcome.error);
      return 'failed';
    case 'unavailable':
      delivery.nak(0);
      return undefined;
  }
}

/**
 * An outage of the database is waited out with the message in hand, kept alive like a slow handler's: nothing is
 * handed back, no delivery is used up, and nothing more is fetched than fits the buffer (G7).
 */
async function attemptUntilAnswered<Tx>(
  delivery: Delivery,
  options: DeliverOptions<Tx>,
): Promise<EffectOutcome> {
  const backoff = createBackoff();
  for (;;) {
    const outcome = await attempt(delivery, options);
    if (outcome.kind !== 'unavailable' || options.stopping.aborted) return outcome;
    options.trouble.warn(
      'consumer-database-unavailable',
      messageOf(outcome.error),
      'The database does not do its part; waiting for it with the message in hand',
    );
    await sleep(backoff.next(), options.stopping);
  }
}

function attempt<Tx>(delivery: Delivery, { settings, transact, handler, aborting }: DeliverOptions<Tx>) {
  const event = toConsumedEvent(delivery);
  return attemptEffect(transact, {
    record: {
      consumer: settings.durable,
      eventId: event.id,
      stream: delivery.stream,
      sequence: delivery.sequence,
    },
    work: async (tx) => handler(event, handlerContext(tx, aborting)),
  });
}

function handlerContext<Tx>(tx: Tx, signal: AbortSignal): HandlerContext<Tx> {
  const write = enqueue.bind(undefined, tx as TransactionHandle);
  return { tx, enqueue: write as HandlerContext<Tx>['enqueue'], signal };
}

async function acknowledge(delivery: Delivery, { confirmAck }: ConsumerSettings): Promise<void> {
  if (confirmAck) await delivery.confirm(CONFIRM_TIMEOUT_MS);
  else delivery.ack();
}

function handBack<Tx>(delivery: Delivery, { settings }: DeliverOptions<Tx>, error: unknown): void {
  const delayMs = retryDelay(delivery.deliveryCount, settings.backoff);
  delivery.nak(delayMs);
  settings.logger.warn(
    {
      event: 'consumer-handler-failed',
      consumer: settings.durable,
      sequence: delivery.sequence,
      deliveries: delivery.deliveryCount,
      retryInMs: Math.round(delayMs),
      reason: messageOf(withoutWrapper(error)),
    },
    'The handler failed; the message will be delivered again',
  );
}

/** Doubles with each delivery and is spread over its upper half, so that many messages do not come back in step. */
function retryDelay(deliveryCount: number, { firstMs, maxMs }: ConsumerSettings['backoff']): number {
  const ceiling = Math.min(firstMs * 2 ** Math.min(deliveryCount - 1, 30), maxMs);
  return ceiling / 2 + (Math.random() * ceiling) / 2;
}
