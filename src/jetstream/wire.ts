import type { Msg, NatsConnection } from '@nats-io/nats-core';
import { InvalidSubjectError, MsgHdrsImpl, MsgImpl, NatsConnectionImpl } from '@nats-io/nats-core/internal';

/** One publish as it goes out. */
export interface WireMessage {
  readonly subject: string;
  readonly reply: string;
  /** The `NATS/1.0` block. */
  readonly headers: string;
  readonly payload: Uint8Array;
}

export type Sender = (message: WireMessage) => void;

const CRLF = Buffer.from('\r\n');
const BLANK = /[ \n\r\t]/;
const ZERO = 0x30;

/**
 * Sends messages whose headers are a text already. It writes each of them once, behind one another, and hands the bytes of
 * many messages to the client's outbound buffer at a time: the client's own way encodes, collects and copies every part of
 * every message, which costs as much as the rest of a publish. Where a version of the client has no such entrance, through
 * its ordinary one. Throws the client's error for a subject that would break the protocol.
 */
export function createSender(connection: NatsConnection): Sender {
  const protocol = connection instanceof NatsConnectionImpl ? connection.protocol : undefined;
  if (typeof protocol?.sendCommand !== 'function') return createOrdinarySender(connection);
  const { flushPending: flushNow } = protocol as unknown as { flushPending?: () => void };
  const writer = createWriter((bytes) => {
    protocol.sendCommand(bytes);
    flushNow?.call(protocol); // Two pieces in its buffer would be copied into one.
  });
  return (message) => {
    checkSubject(message.subject);
    writer.write(message);
  };
}

let checkedLast = '';

function checkSubject(subject: string): void {
  if (subject === checkedLast) return;
  if (subject === '' || BLANK.test(subject)) throw new InvalidSubjectError(subject);
  checkedLast = subject;
}

/** Bytes of many messages are collected in pieces of this size. What lies in one goes out in one write. */
const PIECE_BYTES = 64 * 1024;
/** A larger payload is a piece of its own: copying it would cost more than a write. */
const COPIED_AT_MOST = 16 * 1024;

/** Collects until the microtasks of this turn run, or a piece is full. `send` gets bytes that nobody writes again. */
function createWriter(send: (bytes: Uint8Array) => void) {
  let piece = Buffer.alloc(0);
  let [from, to] = [0, 0];
  let scheduled = false;

  function handOver(): void {
    if (to > from) send(piece.subarray(from, to));
    from = to;
  }
  function makeRoom(bytes: number): void {
    if (to + bytes <= piece.length) return;
    handOver();
    piece = Buffer.allocUnsafeSlow(Math.max(PIECE_BYTES, bytes));
    [from, to] = [0, 0];
  }
  function writeHead({ subject, reply, headers }: WireMessage, payloadBytes: number): void {
    const start = to;
    // Almost always as many bytes as characters; if not, it is written again.
    to += piece.write(lineOf(subject, reply, headers.length, payloadBytes), to);
    const written = piece.write(headers, to);
    if (written !== headers.length) {
      to = start + piece.write(lineOf(subject, reply, written, payloadBytes), start);
      piece.write(headers, to);
    }
    to += written;
  }
  return {
    write(message: WireMessage): void {
      const { payload } = message;
      const copied = payload.length <= COPIED_AT_MOST;
      makeRoom(roomOf(message) + (copied ? payload.length : 0));
      writeHead(message, payload.length);
      if (copied) {
        piece.set(payload, to);
        to += payload.length;
      } else {
        handOver();
        send(payload);
      }
      piece.set(CRLF, to);
      to += CRLF.length;
      if (scheduled) return;
      scheduled = true;
      queueMicrotask(() => {
        scheduled = false;
        handOver();
      });
    },
  };
}

function lineOf(subject: string, reply: string, headersBytes: number, payloadBytes: number): string {
  return `HPUB ${subject} ${reply} ${headersBytes} ${headersBytes + payloadBytes}\r\n`;
}

/** At most so many bytes, without the payload: three for each unit of UTF-16, and what is around it. */
function roomOf({ subject, reply, headers }: WireMessage): number {
  return 3 * (subject.length + reply.length + headers.length) + 40;
}

/** The documented way out, for a client without the other one. */
export function createOrdinarySender(connection: NatsConnection): Sender {
  // The client asks the headers for their bytes while it sends: one object serves every message.
  const fixed = new MsgHdrsImpl();
  let block: Uint8Array = CRLF;
  fixed.encode = () => block;
  return ({ subject, reply, headers, payload }) => {
    block = Buffer.from(headers);
    connection.publish(subject, payload, { reply, headers: fixed });
  };
}

/** A message's subject as it came: the client's decoder takes U+FEFF at its beginning for a byte order mark, and drops it. */
export function subjectOf(message: Msg): string {
  const raw = rawSubjectOf(message);
  if (raw === undefined) return message.subject;
  return Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString();
}

function rawSubjectOf(message: Msg): Uint8Array | undefined {
  return message instanceof MsgImpl ? message._msg?.subject : undefined;
}

/** The number that a message's subject ends with, from `offset` on; -1 where there is none. */
export function ticketOf(message: Msg, offset: number): number {
  const subject = rawSubjectOf(message) ?? Buffer.from(message.subject);
  if (subject.length <= offset) return -1;
  let ticket = 0;
  for (let i = offset; i < subject.length; i++) {
    const digit = (subject[i] as number) - ZERO;
    if (digit < 0 || digit > 9) return -1;
    ticket = ticket * 10 + digit;
  }
  return ticket;
}
