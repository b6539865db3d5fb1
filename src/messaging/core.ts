import { headers as createHeaders, type Msg, type MsgHdrs } from '@nats-io/transport-node';
import { PostcommitError } from '../errors.ts';
import type { OutboxEvent } from '../event.ts';
import {
  type BrokerLink,
  checkSubjectPattern,
  contentOf,
  HEADER,
  type MessageContent,
  subjectOf,
} from '../jetstream/index.ts';
import { sleep } from '../lifecycle/abort.ts';
import { encodeEvent } from '../outbox/event-rules.ts';
import type { Logger } from '../telemetry/logger.ts';
import { ATTRIBUTE } from '../telemetry/messaging-attributes.ts';
import { createProcessSpans } from '../telemetry/process-spans.ts';
import { reasonOf } from '../telemetry/reason.ts';
import { captureTrace } from '../telemetry/trace-context.ts';

/** A message as a subscriber gets it: who was not listening has missed it, and nobody delivers it again. */
export type CoreMessage = MessageContent;

export interface SubscribeOptions {
  /** Of the subscribers with this name each message goes to one. Default: every subscriber gets every message. */
  readonly queue?: string;
}

export interface Subscription extends AsyncDisposable {
  /** Takes no more messages, and resolves when those that had come were handled, or after `graceMs` (default 10,000). */
  stop(options?: { readonly graceMs?: number }): Promise<void>;
}

/** The message of an event, with the headers by which `consume()` and `subscribe()` know it. */
export interface EncodedMessage {
  readonly id: string;
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly headers: MsgHdrs;
}

/** With the context of the caller's active span. @throws PostcommitError `event-invalid` */
export function encodeMessage(event: OutboxEvent): EncodedMessage {
  const stamp = captureTrace();
  const { id, subject, key, type, payload } = encodeEvent(event, { stamp });
  const headers = createHeaders();
  headers.set(HEADER.eventId, id);
  if (key !== null) headers.set(HEADER.key, key);
  if (type !== null) headers.set(HEADER.type, type);
  for (const [name, value] of Object.entries(stamp(event.headers ?? {}))) headers.set(name, value);
  return { id, subject, payload: Buffer.from(payload, 'base64'), headers };
}

/**
 * At most once: whoever listens at this moment gets it.
 *
 * @throws PostcommitError `event-invalid`
 */
export function publish({ connection }: BrokerLink, event: OutboxEvent): void {
  const { subject, payload, headers } = encodeMessage(event);
  connection.publish(subject, payload, { headers });
}

/**
 * Hands over what is published on matching subjects (`*` one token, `>` the rest) from now on: at most once. A handler that
 * throws is logged, and its message gone.
 *
 * @throws PostcommitError `config-invalid`
 */
export function subscribe(
  { connection }: BrokerLink,
  {
    subject,
    handler,
    logger,
    queue,
  }: SubscribeOptions & {
    readonly subject: string;
    readonly handler: (message: CoreMessage) => Promise<void> | void;
    readonly logger: Logger;
  },
): Subscription {
  const fault = checkSubjectPattern(subject);
  if (fault !== undefined)
    throw new PostcommitError(
      'config-invalid',
      `'${subject}' cannot be subscribed to: ${fault}`,
      'Correct the subject.',
    );
  const subscription = connection.subscribe(subject, queue === undefined ? {} : { queue });
  const handled = (async () => {
    for await (const message of subscription) {
      try {
        await handleTraced(toCoreMessage(message), { subject, handler });
      } catch (error) {
        const reason = reasonOf(error);
        logger.warn(
          { event: 'subscriber-failed', subject, reason },
          'The handler failed; the message is gone',
        );
      }
    }
  })();
  handled.catch((error: unknown) => {
    logger.warn(
      { event: 'subscriber-failed', subject, reason: reasonOf(error) },
      'The subscription has ended',
    );
  });
  const drain = async (graceMs: number) => {
    if (!connection.isClosed()) await subscription.drain();
    // A handler that waits for this would wait for itself.
    const waited = new AbortController();
    await Promise.race([handled.catch(() => undefined), sleep(graceMs, waited.signal)]);
    waited.abort();
  };
  let stopped: Promise<void> | undefined;
  const stop: Subscription['stop'] = ({ graceMs = 10_000 } = {}) => {
    stopped ??= drain(graceMs);
    return stopped;
  };
  return { stop, [Symbol.asyncDispose]: () => stop() };
}

interface Listener {
  readonly subject: string;
  readonly handler: (message: CoreMessage) => Promise<void> | void;
}

async function handleTraced(message: CoreMessage, { subject: pattern, handler }: Listener): Promise<void> {
  const { subject, headers } = message;
  const spans = createProcessSpans({
    name: pattern,
    attributes: { [ATTRIBUTE.destination]: subject, [ATTRIBUTE.template]: pattern },
    batch: false,
  });
  try {
    await spans.run([{ headers, attributes: {} }], async () => handler(message));
  } catch (error) {
    spans.end({ error });
    throw error;
  }
  spans.end();
}

function toCoreMessage(message: Msg): CoreMessage {
  return contentOf({ subject: subjectOf(message), headers: message.headers, data: message.data });
}
