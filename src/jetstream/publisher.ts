import { createInbox, InvalidArgumentError, InvalidSubjectError, type Msg } from '@nats-io/nats-core';
import { MsgHdrsImpl } from '@nats-io/nats-core/internal';
import { messageOf } from '../errors.ts';
import type { BrokerLink } from './connection.ts';
import { classifyReply, createAckScanner, type Failure } from './outcome.ts';

export interface OutgoingMessage {
  readonly subject: string;
  /** The encoded `NATS/1.0` block. */
  readonly headers: Uint8Array;
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
  /** The window was full and has room again. */
  onRoom?(): void;
}

/**
 * Sends many messages at a time over one connection and matches the acknowledgements to them. For each `publish()`
 * exactly one of `onStored` and `onFailure` follows, never synchronously, unless it is abandoned first. Losing the
 * connection, and a timeout, fail what is in flight in the order in which it was sent.
 */
export interface Publisher {
  readonly inFlight: number;
  hasRoom(): boolean;
  /** Call it while `hasRoom()`. `token` is the caller's own name for the message. */
  publish(message: OutgoingMessage, token: number): void;
  /** Resolves when there is room, or without an error when the signal aborts or the publisher is closed. */
  room(signal: AbortSignal): Promise<void>;
  /** Forgets everything in flight: late answers are ignored. */
  abandon(): void;
  close(): void;
}

/** Timeouts are counted in ticks of one timer, so that a stalled event loop does not time out what it has not read. */
const TICKS_PER_TIMEOUT = 8;

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one closure over the ring, its parts named below.
export function createPublisher(options: PublisherOptions): Publisher {
  const { link, stream, onStored, onFailure, onRoom } = options;
  const { maxInFlight = 1_024, maxInFlightBytes = 8 * 1024 * 1024, ackTimeoutMs = 5_000 } = options;
  const scanAck = createAckScanner(stream);
  const inbox = `${createInbox()}.`;

  // The ring. A ticket is a number that is never used twice and names the slot `ticket % capacity`, so that an answer
  // that comes late, or twice, meets a slot that holds another ticket and is ignored. Slots still taken are skipped.
  const capacity = 2 ** Math.ceil(Math.log2(maxInFlight * 4));
  const tickets = new Float64Array(capacity).fill(-1);
  const tokens = new Float64Array(capacity);
  const sizes = new Uint32Array(capacity);
  const sentAt = new Float64Array(capacity);
  let nextTicket = 0;
  let inFlight = 0;
  let bytesInFlight = 0;

  let tick = 0;
  let timer: NodeJS.Timeout | undefined;
  let wasFull = false;
  let closed = false;
  const waiting = new Set<() => void>();

  const take = (token: number, size: number): number => {
    if (inFlight === capacity) throw new Error('publish() without room: wait for room() first');
    while (tickets[nextTicket % capacity] !== -1) nextTicket++;
    const ticket = nextTicket++;
    const slot = ticket % capacity;
    tickets[slot] = ticket;
    tokens[slot] = token;
    sizes[slot] = size;
    sentAt[slot] = tick;
    inFlight++;
    bytesInFlight += size;
    if (!hasRoom()) wasFull = true;
    timer ??= setInterval(sweep, ackTimeoutMs / TICKS_PER_TIMEOUT);
    return ticket;
  };

  /** Frees the slot of a ticket; false if it does not hold that ticket (late, foreign, abandoned). */
  const release = (ticket: number): boolean => {
    const slot = ticket % capacity;
    if (tickets[slot] !== ticket) return false;
    tickets[slot] = -1;
    inFlight--;
    bytesInFlight -= sizes[slot] as number;
    return true;
  };

  const store = (ticket: number, sequence: number): void => {
    if (!release(ticket)) return;
    onStored(tokens[ticket % capacity] as number, sequence);
    announceRoom();
  };

  const fail = (ticket: number, outcome: Failure): void => {
    if (!release(ticket)) return;
    onFailure(tokens[ticket % capacity] as number, outcome);
    announceRoom();
  };

  /** The tickets in flight that were sent `ticks` ago or earlier, in the order in which they were sent. */
  const sentBefore = (ticks: number): number[] => {
    const found: number[] = [];
    for (let slot = 0; slot < capacity; slot++)
      if (tickets[slot] !== -1 && tick - (sentAt[slot] as number) >= ticks)
        found.push(tickets[slot] as number);
    return found.sort((a, b) => a - b);
  };

  const hasRoom = () => inFlight < maxInFlight && bytesInFlight < maxInFlightBytes;

  const announceRoom = (): void => {
    if (!wasFull || !hasRoom()) return;
    wasFull = false;
    onRoom?.();
    for (const resolve of [...waiting]) resolve();
  };

  function sweep(): void {
    tick++;
    if (inFlight === 0) {
      clearInterval(timer);
      timer = undefined;
      return;
    }
    const denial = link.denial === undefined ? '' : `; ${link.denial}`;
    const reason = `no answer in ${ackTimeoutMs} ms${denial}`;
    for (const ticket of sentBefore(TICKS_PER_TIMEOUT + 1)) fail(ticket, { kind: 'ambiguous', reason });
  }

  const onReply = (error: Error | null, message: Msg): void => {
    // The subscription itself was refused: nothing will be answered, and the timeouts say why.
    if (error !== null) return;
    const ticket = Number(message.subject.slice(inbox.length));
    const sequence = scanAck(message.data);
    if (sequence > 0) {
      store(ticket, sequence);
      return;
    }
    const status = message.headers?.code;
    const outcome = classifyReply({ data: message.data, ...(status ? { status } : {}) }, stream);
    if (outcome.kind === 'stored') store(ticket, outcome.sequence);
    else fail(ticket, outcome);
  };

  /** A throw out of the client's parser would kill its reader in silence; a bug of ours must be heard. */
  const guarded = (error: Error | null, message: Msg): void => {
    try {
      onReply(error, message);
    } catch (thrown) {
      queueMicrotask(() => {
        throw thrown;
      });
    }
  };

  const subscription = link.connection.subscribe(`${inbox}*`, { callback: guarded });
  const offDisconnect = link.onDisconnect(() => {
    for (const ticket of sentBefore(0))
      fail(ticket, { kind: 'ambiguous', reason: 'the connection was lost before the answer came' });
  });

  // The client asks the headers for their bytes while it sends: one object serves every message.
  let block: Uint8Array = new Uint8Array(0);
  const headers = new MsgHdrsImpl();
  headers.encode = () => block;

  const abandon = (): void => {
    tickets.fill(-1);
    inFlight = 0;
    bytesInFlight = 0;
    announceRoom();
  };

  return {
    get inFlight() {
      return inFlight;
    },
    hasRoom,
    publish(message, token) {
      const size = message.headers.length + message.payload.length;
      const ticket = take(token, size);
      const fault = closed ? notConnected : checkBefore(link, message.subject, size);
      if (fault !== undefined) {
        queueMicrotask(() => fail(ticket, fault));
        return;
      }
      try {
        block = message.headers;
        link.connection.publish(message.subject, message.payload, { reply: inbox + ticket, headers });
      } catch (thrown) {
        const outcome = judgeThrown(thrown);
        queueMicrotask(() => fail(ticket, outcome));
      }
    },
    room(signal) {
      if (hasRoom() || signal.aborted || closed) return Promise.resolve();
      return new Promise((resolve) => {
        const done = () => {
          waiting.delete(done);
          signal.removeEventListener('abort', done);
          resolve();
        };
        waiting.add(done);
        signal.addEventListener('abort', done, { once: true });
      });
    },
    abandon,
    close() {
      closed = true;
      clearInterval(timer);
      offDisconnect();
      abandon();
      for (const resolve of [...waiting]) resolve();
      if (!link.connection.isClosed()) subscription.unsubscribe();
    },
  };
}

const notConnected: Failure = { kind: 'unavailable', reason: 'not connected to NATS' };

/** The server closes the connection over a control line of 4,096 bytes; reply, lengths and verb need the rest. */
const MAX_SUBJECT_BYTES = 3_800;

/** What the server would answer by closing the connection, or not at all. */
function checkBefore(link: BrokerLink, subject: string, size: number): Failure | undefined {
  if (!link.connected) return notConnected;
  if (size > link.maxPayload)
    return { kind: 'refused', reason: `${size} bytes with headers, the server takes ${link.maxPayload}` };
  if (subject.length > MAX_SUBJECT_BYTES / 3 && Buffer.byteLength(subject) > MAX_SUBJECT_BYTES)
    return { kind: 'refused', reason: `a subject of over ${MAX_SUBJECT_BYTES} bytes` };
  return undefined;
}

function judgeThrown(thrown: unknown): Failure {
  const aboutMessage = thrown instanceof InvalidArgumentError || thrown instanceof InvalidSubjectError;
  // The client's words would quote the subject, which is the event's own; the kind of fault is enough.
  if (aboutMessage) return { kind: 'refused', reason: 'its subject or size is not one that NATS takes' };
  return { kind: 'unavailable', reason: messageOf(thrown) };
}
