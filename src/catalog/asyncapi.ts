import { isDeepStrictEqual } from 'node:util';
import { nameOf } from '../contracts/typed-event.ts';
import type { StreamDefinition } from '../jetstream/index.ts';
import { bySubject, channelIdOf, plainName } from './channel.ts';
import { type CatalogEvent, type CatalogService, COMPUTED, type Consumption, valuesOf } from './model.ts';

/** An AsyncAPI document: JSON. */
export type AsyncApiDocument = Readonly<Record<string, unknown>>;

/** Where the document says what AsyncAPI has no words for. */
export const EXTENSION = 'x-postcommit';

/** What a message carries besides its fields: `readAsyncApi()` makes the catalog of it again. */
export interface MessageExtension {
  readonly type: string;
  readonly version: number;
  readonly key: string | null;
  readonly stream?: string;
  /** Parameters of the subject that are no properties of the payload. */
  readonly computed?: readonly string[];
}

export interface OperationExtension {
  readonly stream: string;
  readonly durable: string;
}

export interface DocumentExtension {
  readonly owners: readonly string[];
  readonly streams: readonly StreamDefinition[];
}

/**
 * The service as AsyncAPI 3.0 (https://www.asyncapi.com/docs/reference/specification/v3.0.0): a channel for each subject, a
 * message for each version of an event, an operation for what it sends and for each durable that receives. Streams and
 * consumers, for which its binding of NATS has no words, are in `x-postcommit`.
 */
export function toAsyncApi(service: CatalogService): AsyncApiDocument {
  const { name, version, description, owners, streams, produces, consumes } = service;
  const events = distinct([...produces, ...consumes.flatMap((consumption) => consumption.events)]);
  return {
    asyncapi: '3.0.0',
    info: { title: name, version, ...(description === undefined ? {} : { description }) },
    defaultContentType: 'application/json',
    channels: Object.fromEntries(channelsOf(events)),
    operations: Object.fromEntries([...produces.map(sendOf), ...consumes.flatMap(receiveOf)]),
    components: { messages: Object.fromEntries(events.map((event) => [idOf(event), messageOf(event)])) },
    [EXTENSION]: { owners, streams } satisfies DocumentExtension,
  };
}

/** A service may consume its own events. */
function distinct(events: readonly CatalogEvent[]): CatalogEvent[] {
  return [...new Map(events.toReversed().map((event) => [nameOf(event), event])).values()].reverse();
}

function idOf({ type, version }: CatalogEvent): string {
  return `${plainName(type)}.v${version}`;
}

function channelsOf(events: readonly CatalogEvent[]): [string, object][] {
  return [...bySubject(events).values()].map((sharing) => [
    channelIdOf(sharing[0] as CatalogEvent),
    channelOf(sharing),
  ]);
}

function channelOf(sharing: readonly CatalogEvent[]): object {
  const [{ subject, parameters } = { subject: '', parameters: [] }] = sharing;
  return {
    address: subject,
    description:
      'A NATS subject. Each parameter is one token, percent-encoded except for letters, digits, _ and -.',
    ...(parameters.length === 0
      ? {}
      : { parameters: Object.fromEntries(parameters.map(({ name }) => [name, parameterOf(name, sharing)])) }),
    messages: Object.fromEntries(
      sharing.map((event) => [idOf(event), { $ref: `#/components/messages/${idOf(event)}` }]),
    ),
  };
}

/** What is true of it for all events of the channel. */
function parameterOf(name: string, sharing: readonly CatalogEvent[]): object {
  const property = sharing.every((event) =>
    event.parameters.some((each) => each.name === name && each.property),
  );
  if (!property) return { description: 'Computed from the payload.' };
  const [values, ...others] = sharing.map((event) => valuesOf(event, { name, property }));
  const same = others.every((each) => isDeepStrictEqual(each, values));
  return {
    description: `\`${name}\` of the payload.`,
    location: `$message.payload#/${name}`,
    ...(values !== undefined && same ? { enum: values } : {}),
  };
}

function sendOf(event: CatalogEvent): [string, object] {
  return [
    `send.${idOf(event)}`,
    {
      action: 'send',
      title: event.title ?? nameOf(event),
      channel: { $ref: `#/channels/${channelIdOf(event)}` },
      messages: [{ $ref: `#/channels/${channelIdOf(event)}/messages/${idOf(event)}` }],
    },
  ];
}

/** One for each subject of a durable: an operation has one channel. */
function receiveOf({ stream, durable, events }: Consumption): [string, object][] {
  const channels = [...new Set(events.map(channelIdOf))];
  return channels.map((channel) => [
    `receive.${plainName(durable)}${channels.length === 1 ? '' : `.${channel}`}`,
    {
      action: 'receive',
      title: durable,
      channel: { $ref: `#/channels/${channel}` },
      messages: events
        .filter((event) => channelIdOf(event) === channel)
        .map((event) => ({ $ref: `#/channels/${channel}/messages/${idOf(event)}` })),
      [EXTENSION]: { stream, durable } satisfies OperationExtension,
    },
  ]);
}

function messageOf(event: CatalogEvent): object {
  const { type, version, title, description, key, stream, schema, example, parameters } = event;
  const computed = parameters.filter(({ property }) => !property).map(({ name }) => name);
  return {
    name: type,
    title: title ?? type,
    ...(description === undefined ? {} : { description }),
    contentType: 'application/json',
    headers: headersOf(event),
    payload: { schemaFormat: 'application/schema+json;version=draft-07', schema },
    ...(example === undefined ? {} : { examples: [{ name: 'example', payload: example }] }),
    [EXTENSION]: {
      type,
      version,
      key,
      ...(stream === undefined ? {} : { stream }),
      ...(computed.length === 0 ? {} : { computed }),
    } satisfies MessageExtension,
  };
}

function headersOf({ type, version, key }: CatalogEvent): object {
  return {
    type: 'object',
    required: ['Postcommit-Event-Id', 'Postcommit-Type'],
    properties: {
      'Postcommit-Event-Id': { type: 'string', format: 'uuid', description: 'Identity, for the inbox.' },
      'Postcommit-Type': { type: 'string', const: type },
      'Event-Version': { type: 'string', const: String(version), description: 'Absent means 1.' },
      ...(key === null
        ? {}
        : {
            'Postcommit-Key': {
              type: 'string',
              description: `The aggregate, whose events stay in order: ${key === COMPUTED ? 'computed from the payload' : `\`${key}\` of the payload`}.`,
            },
          }),
    },
  };
}
