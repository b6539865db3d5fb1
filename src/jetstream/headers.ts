import { PostcommitError } from '../errors.ts';
import type { StoredEvent } from '../event.ts';
import type { CloudEventHeaders } from './cloud-events.ts';

/** The headers that other programs rely on. */
export const HEADER = {
  eventId: 'Postcommit-Event-Id',
  source: 'Postcommit-Source',
  position: 'Postcommit-Position',
  skipped: 'Postcommit-Skipped',
  key: 'Postcommit-Key',
  type: 'Postcommit-Type',
  messageId: 'Nats-Msg-Id',
  expectedStream: 'Nats-Expected-Stream',
  expectedLastSequence: 'Nats-Expected-Last-Sequence',
} as const;

export interface HeaderOptions {
  readonly stream: string;
  /** Names the database, so that two relays never take each other's messages for their own. */
  readonly source: string;
  /** Null sends none: in the chain the slot protects a repeated message, and no duplicate table can swallow it. */
  readonly messageId: string | null;
  /** The sequence this message must follow; null outside the chain. */
  readonly expectedLastSequence: number | null;
  /** Undefined where messages are no CloudEvents. */
  readonly cloudEvents?: CloudEventHeaders | undefined;
}

// A line break would let a value add headers of its own: `Nats-Rollup: all` erases a stream.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
const LINE_BREAK = /[\r\n\u0000]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
const BAD_NAME = /[\u0000-\u0020:\u007f]/;
const RESERVED = /^(nats|postcommit)-/i;

/** Why this event can never be sent with its headers; undefined when it can. For the check before planning. */
export function headerFault(event: StoredEvent): string | undefined {
  for (const field of ['eventId', 'key', 'type'] as const) {
    if (LINE_BREAK.test(event[field] ?? '')) return `its ${field} contains a line break or NUL`;
  }
  for (const [name, value] of Object.entries(event.headers ?? {})) {
    if (name === '' || BAD_NAME.test(name)) return `a header's name is empty or has a blank or colon in it`;
    if (RESERVED.test(name)) return `its header ${name} is reserved`;
    if (typeof value !== 'string') return `its header ${name} is not text`;
    if (LINE_BREAK.test(value)) return `its header ${name} contains a line break or NUL`;
  }
  return undefined;
}

/**
 * The `NATS/1.0` block of one event, as text: it is encoded where it goes out (writing it byte by byte there is slower).
 * Throws `event-invalid` for what `headerFault()` names: the caller checks that before it plans, this is the last line before
 * the wire.
 */
export function headerBlock(event: StoredEvent, options: HeaderOptions): string {
  let block = `${preamble(options.stream, options.source)}${event.position}\r\nPostcommit-Event-Id: ${event.eventId}\r\n`;
  if (options.messageId !== null) block += `Nats-Msg-Id: ${options.messageId}\r\n`;
  if (options.expectedLastSequence !== null)
    block += `Nats-Expected-Last-Sequence: ${options.expectedLastSequence}\r\n`;
  if (event.key !== null) block += `Postcommit-Key: ${event.key}\r\n`;
  if (event.type !== null) block += `Postcommit-Type: ${event.type}\r\n`;
  if (options.cloudEvents !== undefined) block += options.cloudEvents.linesOf(event);
  if (event.headers !== null) {
    for (const name in event.headers) block += `${name}: ${event.headers[name]}\r\n`;
  }
  refuseFaults(event);
  return `${block}\r\n`;
}

/** The block of a marker: an empty message that fills the slot of an event that can never be stored. */
export function markerHeaderBlock(
  event: Pick<StoredEvent, 'eventId' | 'position'>,
  options: Omit<HeaderOptions, 'messageId' | 'cloudEvents'>,
): string {
  let block = `${preamble(options.stream, options.source)}${event.position}\r\nPostcommit-Skipped: ${event.eventId}\r\n`;
  if (options.expectedLastSequence !== null)
    block += `Nats-Expected-Last-Sequence: ${options.expectedLastSequence}\r\n`;
  return `${block}\r\n`;
}

function refuseFaults(event: StoredEvent): void {
  if (event.headers === null && !LINE_BREAK.test(event.key ?? '') && !LINE_BREAK.test(event.type ?? ''))
    return;
  const fault = headerFault(event);
  if (fault === undefined) return;
  throw new PostcommitError(
    'event-invalid',
    `event ${event.position} cannot be sent: ${fault}`,
    'Write events with enqueue() or the SQL function, which refuse such headers.',
  );
}

// The constant part, kept for the last stream and source: a relay has few of them and they take turns by batch.
let preambleStream = '';
let preambleSource = '';
let preambleText = '';

function preamble(stream: string, source: string): string {
  if (stream !== preambleStream || source !== preambleSource) {
    preambleStream = stream;
    preambleSource = source;
    preambleText = `NATS/1.0\r\nNats-Expected-Stream: ${stream}\r\nPostcommit-Source: ${source}\r\nPostcommit-Position: `;
  }
  return preambleText;
}
