import { InvalidArgumentError, InvalidSubjectError, type Msg } from '@nats-io/nats-core';
import { messageOf } from '../errors.ts';
import type { BrokerLink } from './connection.ts';
import { createInFlight } from './in-flight.ts';
import { newInbox } from './inbox.ts';
import { classifyReply, createAckScanner, type Failure } from './outcome.ts';
import { createRoom } from './room.ts';
import { createSender, ticketOf } from './wire.ts';

export interface OutgoingMessage {
  readonly subject: string;
  /** The `NATS/1.0` block. */
  readonly headers: string;
  readonly payload: Uint8Array;
}

export interface PublisherOptions {
  readonly link: BrokerLink;
  /** Only its acknowledgements count. */
  readonly stream: string;
  /** Default 1,024. */
  readonly maxInFlight?: number;
  /** Headers and payloads. Default 8 MiB; one larger message still passes, alone. */
  readonly maxInFlightBytes?: number;
  /** After this long without an answer a publish is `ambiguous`. Default 5,000. */
  readonly ackTimeoutMs?: number;
  onStored(token: number, sequence: number): void;
  onFailure(token: number, outcome: Failure): void;
  /** The window was full and a quarter of it is free again. */
  onRoom?(): void;
}

/**
 * Sends many messages at a time over one connection and matches the answers to them. For each `publish()` exactly
 * one of `onStored` and `onFailure` follows, never synchronously, unless it is abandoned first. Losing the
 * connection, and a timeout, fail what is in flight in the order in which it was sent.
 */
export interface Publisher {
  readonly inFlight: number;
  hasRoom(): boolean;
  /** To be called while `hasRoom()`. `token` is the caller's own name for the message. */
  publish(message: OutgoingMessage, token: number): void;
  /** Resolves when there is room, or without an error when the signal aborts or the publisher is closed. */
  room(signal: AbortSignal): Promise<void>;
  /** Forgets everything in flight: late answers are ignored. */
  abandon(): void;
  close(): void;
}

/** Callers that overshoot a full window by a few messages do no harm; a runaway is a bug. */
const RING_PER_WINDOW = 4;

/**
 * A full window is refilled in bulk. Acknowledgements trickle in, and a socket write for each few messages costs more
 * than the messages do.
 */
const REFILL_BELOW = 0.75;

/** Timeouts are counted in ticks of one timer: a stalled event loop does not time out what it has not read yet. */
const TICKS_PER_TIMEOUT = 8;
/** How long an answer may take before its message is in doubt. */
export const ACK_TIMEOUT_MS = 5_000;

export function createPublisher(options: PublisherOptions): Publisher {
  const { link, stream, onStored, onFailure, onRoom, ackTimeoutMs = ACK_TIMEOUT_MS } = options;
  const { maxInFlight = 1_024, maxInFlightBytes = 8 * 1024 * 1024 } = options;
  const inFlight = createInFlight(maxInFlight * RING_PER_WINDOW);
  const hasRoom = () => inFlight.count < maxInFlight && inFlight.bytes < maxInFlightBytes;
  const isAmple = () =>
    inFlight.count <= maxInFlight * REFILL_BELOW && inFlight.bytes <= maxInFlightBytes * REFILL_BELOW;
  const room = createRoom({ hasRoom, isAmple }, onRoom && (() => onRoom()));
  const send = createSender(link.connection);
  const inbox = `${newInbox(link)}.`;
  let closed = false;

  const store = (ticket: number, sequence: number): void => {
    const token = inFlight.release(ticket);
    if (token === undefined) return;
    onStored(token, sequence);
    room.update();
  };
  const fail = (ticket: number, outcome: Failure): void => {
    const token = inFlight.release(ticket);
    if (token === undefined) return;
    onFailure(token, outcome);
    room.update();
  };
  const failAll = (tickets: readonly number[], reason: string): void => {
    for (const ticket of tickets) fail(ticket, { kind: 'ambiguous', reason });
  };

  const subscription = subscribeToReplies({ link, stream, inbox, store, fail });
  const offDisconnect = link.onDisconnect(() =>
    failAll(inFlight.sentBefore(0), 'the connection was lost before the answer came'),
  );
  const clock = createClock(ackTimeoutMs / TICKS_PER_TIMEOUT, () => {
    inFlight.tick();
    const denial = link.denial === undefined ? '' : `; ${link.denial}`;
    failAll(inFlight.sentBefore(TICKS_PER_TIMEOUT + 1), `no answer in ${ackTimeoutMs} ms${denial}`);
    return inFlight.count > 0;
  });

  /** Why this was not handed to the client; undefined when it was. */
  const attempt = (message: OutgoingMessage, ticket: number): Failure | undefined => {
    const { subject, headers, payload } = message;
    const fault = closed ? notConnected : checkBefore(link, message);
    if (fault !== undefined) return fault;
    try {
      send({ subject, reply: inbox + ticket, headers, payload });
      return undefined;
    } catch (thrown) {
      return judgeThrown(thrown);
    }
  };

  return {
    get inFlight() {
      return inFlight.count;
    },
    hasRoom,
    publish(message, token) {
      const ticket = inFlight.add(token, message.headers.length + message.payload.length);
      clock.run();
      room.update();
      const failure = attempt(message, ticket);
      if (failure !== undefined) queueMicrotask(() => fail(ticket, failure));
    },
    room: room.wait,
    abandon() {
      inFlight.clear();
      room.update();
    },
    close() {
      closed = true;
      clock.stop();
      offDisconnect();
      inFlight.clear();
      room.close();
      if (!link.connection.isClosed()) subscription.unsubscribe();
    },
  };
}

interface ReplyHandling {
  readonly link: BrokerLink;
  readonly stream: string;
  readonly inbox: string;
  store(ticket: number, sequence: number): void;
  fail(ticket: number, outcome: Failure): void;
}

function subscribeToReplies({ link, stream, inbox, store, fail }: ReplyHandling) {
  const scanAck = createAckScanner(stream);
  const onReply = (message: Msg): void => {
    const ticket = ticketOf(message, inbox.length);
    const sequence = scanAck(message.data);
    if (sequence > 0) {
      store(ticket, sequence);
      return;
    }
    const outcome = classifyReply({ data: message.data, status: message.headers?.code ?? 0 }, stream);
    if (outcome.kind === 'stored') store(ticket, outcome.sequence);
    else fail(ticket, outcome);
  };
  return link.connection.subscribe(`${inbox}*`, {
    callback(error, message) {
      // The server refused the subscription: no answer will come, the timeouts say so and name the permission.
      if (error !== null) return;
      try {
        onReply(message);
      } catch (thrown) {
        // A bug of the caller. Thrown from here it would end the client's reader, in silence.
        queueMicrotask(() => {
          throw thrown;
        });
      }
    },
  });
}

/** One timer for all messages. It runs until `onTick` answers false and starts again with `run()`. */
function createClock(intervalMs: number, onTick: () => boolean) {
  let timer: NodeJS.Timeout | undefined;
  const stop = () => {
    clearInterval(timer);
    timer = undefined;
  };
  return {
    run() {
      timer ??= setInterval(() => {
        if (!onTick()) stop();
      }, intervalMs);
    },
    stop,
  };
}

const notConnected: Failure = { kind: 'unavailable', reason: 'not connected to NATS' };

/** The server closes the connection over a control line of 4,096 bytes; reply, lengths and verb need the rest. */
const MAX_SUBJECT_BYTES = 3_800;

/** What the server would answer by closing the connection, or not at all. */
function checkBefore(link: BrokerLink, { subject, headers, payload }: OutgoingMessage): Failure | undefined {
  if (!link.connected) return notConnected;
  const size = exceeds(headers, link.maxPayload - payload.length);
  if (size !== undefined)
    return {
      kind: 'refused',
      reason: `${size + payload.length} bytes with headers, the server takes ${link.maxPayload}`,
    };
  if (exceeds(subject, MAX_SUBJECT_BYTES) !== undefined)
    return { kind: 'refused', reason: `a subject of over ${MAX_SUBJECT_BYTES} bytes` };
  return undefined;
}

/** Its bytes, if they are more than that. They are counted where it could be. */
function exceeds(text: string, bytes: number): number | undefined {
  if (text.length * MAX_BYTES_OF_UNIT <= bytes) return undefined;
  const size = Buffer.byteLength(text);
  return size > bytes ? size : undefined;
}

/** Of UTF-8, for a unit of UTF-16. */
const MAX_BYTES_OF_UNIT = 3;

function judgeThrown(thrown: unknown): Failure {
  // The client's own words would quote the subject.
  if (thrown instanceof InvalidSubjectError)
    return { kind: 'refused', reason: 'its subject is empty or has a blank' };
  if (thrown instanceof InvalidArgumentError) return { kind: 'refused', reason: messageOf(thrown) };
  return { kind: 'unavailable', reason: messageOf(thrown) };
}
