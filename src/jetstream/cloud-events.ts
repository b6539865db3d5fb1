import type { StoredEvent } from '../event.ts';
import { decodeAttribute, encodeAttribute } from './attribute-value.ts';
import { isJson } from './json-text.ts';
import { asUriReference } from './uri-reference.ts';

/** Whether messages are CloudEvents as well: `binary` mode of the NATS binding, or not. */
export type CloudEventsMode = 'off' | 'binary';

/** The headers that make a message a CloudEvent in binary mode. */
export interface CloudEventHeaders {
  /** Lines for the block of this event. What the writer says in headers of that name is left to the writer. */
  linesOf(event: StoredEvent): string;
  /** Their bytes at most. */
  sizeOf(event: StoredEvent): number;
}

/** Of a relay whose messages have this source. */
export function createCloudEventHeaders(relaySource: string): CloudEventHeaders {
  const source = asUriReference(relaySource);
  return {
    linesOf(event) {
      const given = givenIn(event.headers);
      return compose(event, {
        source,
        given,
        contentType: given.contentType ?? (isJson(event.payload) ? JSON_TYPE : null),
      });
    },
    sizeOf(event) {
      const given = givenIn(event.headers);
      return compose(event, { source, given, contentType: given.contentType ?? JSON_TYPE }).length;
    },
  };
}

const JSON_TYPE = 'application/json';

interface Composition {
  readonly source: string;
  readonly given: Given;
  readonly contentType: string | null;
}

function compose(event: StoredEvent, { source, given, contentType }: Composition): string {
  if (isStructured(given.contentType)) return '';
  const attributes = {
    specversion: '1.0',
    id: event.eventId,
    source,
    // It is required, and what tells events without a type apart is their subject.
    type: event.type ?? event.ownSubject ?? event.subject,
    time: timestampOf(event.createdAtMs),
    subject: event.key,
    datacontenttype: contentType !== null && MEDIA_TYPE.test(contentType) ? contentType : null,
  };
  let lines = '';
  for (const [name, value] of Object.entries(attributes))
    if (value !== null && !given.names.has(name)) lines += `ce-${name}: ${encodeAttribute(value)}\r\n`;
  return lines;
}

/** RFC 3339, to the millisecond; null for what has no year of four digits. */
function timestampOf(ms: number): string | null {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return null;
  const text = date.toISOString();
  return /^\d{4}-/.test(text) ? text : null;
}

/** RFC 2046, of a length that there are. */
const MEDIA_TYPE = /^(?=.{3,255}$)[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+\s*(?:;.*)?$/;

/** What a writer's headers say already. */
interface Given {
  /** Of attributes, in lower case. */
  readonly names: ReadonlySet<string>;
  readonly contentType: string | null;
}

const NOTHING: Given = { names: new Set(), contentType: null };

function givenIn(headers: StoredEvent['headers']): Given {
  if (headers === null) return NOTHING;
  const names = new Set<string>();
  let contentType: string | null = null;
  for (const [header, value] of Object.entries(headers)) {
    const name = header.toLowerCase();
    if (name.startsWith('ce-')) names.add(name.slice('ce-'.length));
    else if (name === 'content-type') contentType = value;
  }
  return { names, contentType };
}

/** The payload is the whole event, in an event format: the header that tells structured mode from binary. */
function isStructured(contentType: string | null): boolean {
  return contentType !== null && /^\s*application\/cloudevents/i.test(contentType);
}

/** The context attributes of a CloudEvent, decoded. Of those that are optional the values are as they came: nothing checks them. */
export interface CloudEvent {
  readonly specversion: '1.0';
  readonly id: string;
  /** A URI reference. `source` and `id` together name the event. */
  readonly source: string;
  readonly type: string;
  /** RFC 3339. */
  readonly time: string | null;
  readonly subject: string | null;
  readonly datacontenttype: string | null;
  /** A URI. */
  readonly dataschema: string | null;
  /** All other attributes by their names, as text. */
  readonly extensions: Readonly<Record<string, string>>;
}

/**
 * What a message in the binary mode of CloudEvents 1.0 says of itself, whoever published it; its data is the payload. Null where
 * it is none: a required attribute is missing or empty, `specversion` is another, a value is encoded wrongly, or an attribute is
 * there twice. Null for structured mode, too, which is not read: there the payload is the whole event.
 *
 * Takes what `consume()`, `readStream()` and `subscribe()` hand over.
 */
export function cloudEventOf(event: {
  readonly headers: Readonly<Record<string, string>>;
}): CloudEvent | null {
  const attributes = attributesIn(event.headers);
  if (attributes === undefined) return null;
  const { specversion, id, source, type, time, subject, datacontenttype, dataschema, ...extensions } =
    attributes;
  if (specversion !== '1.0' || !id || !source || !type) return null;
  return {
    specversion,
    id,
    source,
    type,
    time: time || null,
    subject: subject || null,
    datacontenttype: datacontenttype || null,
    dataschema: dataschema || null,
    extensions,
  };
}

/** Undefined where they are those of no event. */
function attributesIn(headers: Readonly<Record<string, string>>): Record<string, string> | undefined {
  const attributes: Record<string, string> = {};
  for (const [header, text] of Object.entries(headers)) {
    const name = header.toLowerCase();
    if (name === 'content-type' && isStructured(text)) return undefined;
    // Other characters are in no attribute's name, and `data` is the name of none.
    if (!/^ce-[a-z0-9]+$/.test(name) || name === 'ce-data') continue;
    const value = decodeAttribute(text);
    const attribute = name.slice('ce-'.length);
    if (value === undefined || Object.hasOwn(attributes, attribute)) return undefined;
    attributes[attribute] = value;
  }
  return attributes;
}
