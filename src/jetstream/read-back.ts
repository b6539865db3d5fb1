import { PostcommitError } from '../errors.ts';
import { isObject, requestApi } from './api.ts';
import type { BrokerLink } from './connection.ts';
import { HEADER } from './headers.ts';

/** What the stream holds at one sequence. Foreign messages have no source and no position. */
export type ReadBack =
  | {
      readonly kind: 'message';
      readonly sequence: number;
      readonly source: string | null;
      readonly position: number | null;
      readonly eventId: string | null;
      /** The event a marker stands for. */
      readonly skipped: string | null;
      readonly subject: string;
    }
  | { readonly kind: 'gone'; readonly sequence: number };

export interface ReadBackOptions {
  readonly stream: string;
  readonly from: number;
  /** Inclusive. A sequence beyond the stream's last one reads as `gone`: ask for the last one first. */
  readonly to: number;
  /** Requests under way at a time. Default 128; fewer where messages are large. */
  readonly window?: number;
  readonly signal?: AbortSignal;
}

const NO_MESSAGE_FOUND = 10037;

/** The answers carry the payloads, there is no form without: about this much of them is held at a time. */
const BYTES_IN_FLIGHT = 8 * 1024 * 1024;

/**
 * Reads messages by sequence, in order. `$JS.API.STREAM.MSG.GET` is answered by the stream's leader alone and works
 * on every retention; a direct get may come from a replica that lags. Throws `broker-unreachable`: try again.
 */
export async function readBack(link: BrokerLink, options: ReadBackOptions): Promise<ReadBack[]> {
  const { stream, from, to, window = 128, signal } = options;
  const count = Math.max(0, to - from + 1);
  const found = new Array<ReadBack>(count);
  let next = 0;
  let underWay = 0;
  let largest = 1;
  let failed = false;
  // The first answers show how large messages are, before all slots are used.
  let slots = Math.min(window, 16);
  const grow = () => Math.max(1, Math.min(window, Math.floor(BYTES_IN_FLIGHT / largest)));
  await new Promise<void>((resolve, reject) => {
    const pump = () => {
      if (failed) return;
      if (next >= count && underWay === 0) return resolve();
      while (next < count && underWay < slots) {
        const index = next++;
        underWay++;
        readOne(link, { stream, sequence: from + index, signal }).then(
          ({ message, bytes }) => {
            found[index] = message;
            underWay--;
            largest = Math.max(largest, bytes);
            slots = grow();
            if (signal?.aborted) fail(unread(stream, 'it was cancelled'));
            else pump();
          },
          (thrown: unknown) => fail(thrown),
        );
      }
    };
    const fail = (thrown: unknown) => {
      failed = true;
      reject(thrown);
    };
    if (signal?.aborted) fail(unread(stream, 'it was cancelled'));
    else pump();
  });
  return found;
}

async function readOne(
  link: BrokerLink,
  { stream, sequence, signal }: { stream: string; sequence: number; signal: AbortSignal | undefined },
): Promise<{ message: ReadBack; bytes: number }> {
  const answer = await requestApi(link, `STREAM.MSG.GET.${stream}`, { body: { seq: sequence }, signal });
  if (answer.kind === 'error' && answer.errCode === NO_MESSAGE_FOUND)
    return { message: { kind: 'gone', sequence }, bytes: 0 };
  if (answer.kind !== 'answer') throw unread(stream, answer.reason);
  const { message } = answer.body;
  if (!isMessage(message) || message.seq !== sequence)
    throw unread(stream, `JetStream's answer for sequence ${sequence} is incomplete`);
  return { message: interpret(message), bytes: answer.bytes };
}

interface RawMessage {
  readonly subject: string;
  readonly seq: number;
  readonly hdrs?: string;
}

function isMessage(message: unknown): message is RawMessage {
  if (!isObject(message)) return false;
  const { subject, hdrs } = message;
  return typeof subject === 'string' && (hdrs === undefined || typeof hdrs === 'string');
}

function interpret({ subject, seq, hdrs }: RawMessage): ReadBack {
  const block = hdrs === undefined ? '' : Buffer.from(hdrs, 'base64').toString();
  const position = headerValue(block, HEADER.position);
  return {
    kind: 'message',
    sequence: seq,
    source: headerValue(block, HEADER.source),
    position: position !== null && /^\d{1,16}$/.test(position) ? Number(position) : null,
    eventId: headerValue(block, HEADER.eventId),
    skipped: headerValue(block, HEADER.skipped),
    subject,
  };
}

/** The first value of one header in a `NATS/1.0` block; null where it is absent. */
export function headerValue(block: string, name: string): string | null {
  const start = block.indexOf(`\r\n${name}:`);
  if (start < 0) return null;
  const colon = start + name.length + 3;
  const from = block[colon] === ' ' ? colon + 1 : colon;
  const end = block.indexOf('\r\n', from);
  return block.slice(from, end < 0 ? undefined : end);
}

function unread(stream: string, reason: string): PostcommitError {
  return new PostcommitError(
    'broker-unreachable',
    `messages of the stream '${stream}' cannot be read: ${reason}`,
    'The relay tries again by itself; look at nats-server if it goes on.',
  );
}
