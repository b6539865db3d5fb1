import { z } from 'zod';
import { PostcommitError } from '../errors.ts';
import type { StreamDefinition } from '../jetstream/index.ts';
import { EXTENSION } from './asyncapi.ts';
import type { CatalogEvent, CatalogService, Consumption } from './model.ts';

const reference = z.object({ $ref: z.string() });
const object = z.record(z.string(), z.unknown());

/** As `toAsyncApi()` writes it. What else stands in a document is passed over. */
const document = z.object({
  asyncapi: z.string().regex(/^3\./),
  info: z.object({ title: z.string(), version: z.string(), description: z.string().optional() }),
  channels: z.record(
    z.string(),
    z.object({
      address: z.string(),
      parameters: z.record(z.string(), z.unknown()).default({}),
    }),
  ),
  operations: z.record(
    z.string(),
    z.object({
      action: z.enum(['send', 'receive']),
      messages: z.array(reference),
      [EXTENSION]: z.object({ stream: z.string(), durable: z.string() }).optional(),
    }),
  ),
  components: z.object({
    messages: z.record(
      z.string(),
      z.object({
        title: z.string().optional(),
        description: z.string().optional(),
        payload: z.object({ schema: object }),
        examples: z.array(z.object({ payload: z.unknown() })).optional(),
        [EXTENSION]: z.object({
          type: z.string(),
          version: z.number(),
          key: z.string().nullable(),
          stream: z.string().optional(),
          computed: z.array(z.string()).default([]),
        }),
      }),
    ),
  }),
  [EXTENSION]: z.object({ owners: z.array(z.string()).default([]), streams: z.array(object) }),
});
type Document = z.infer<typeof document>;

/**
 * The service that a document of `postcommit catalog export --asyncapi` describes.
 *
 * @throws PostcommitError `config-invalid` for any other document; `from` names it in the message.
 */
export function readAsyncApi(value: unknown, from: string): CatalogService {
  const parsed = document.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new PostcommitError(
      'config-invalid',
      `${from} is no document of postcommit catalog: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'it cannot be read'}`,
      'Compare what `postcommit catalog export --asyncapi` has written.',
    );
  }
  return toService(parsed.data);
}

function toService(found: Document): CatalogService {
  const { info, operations } = found;
  const eventsOf = (messages: Document['operations'][string]['messages']) =>
    messages.flatMap(({ $ref }) => toEvent(found, $ref) ?? []);
  const of = (action: 'send' | 'receive') =>
    Object.values(operations).filter((each) => each.action === action);
  return {
    name: info.title,
    version: info.version,
    ...(info.description === undefined ? {} : { description: info.description }),
    owners: found[EXTENSION].owners,
    streams: found[EXTENSION].streams as unknown as StreamDefinition[],
    produces: of('send').flatMap(({ messages }) => eventsOf(messages)),
    consumes: byDurable(
      of('receive').flatMap(({ messages, [EXTENSION]: consumer }) =>
        consumer === undefined ? [] : [{ ...consumer, events: eventsOf(messages).map(withoutStream) }],
      ),
    ),
  };
}

/** Of an event that a service publishes and consumes there is one message. */
function withoutStream({ stream: _, ...event }: CatalogEvent): CatalogEvent {
  return event;
}

/** A durable with several subjects has as many operations. */
function byDurable(parts: readonly Consumption[]): Consumption[] {
  const found = new Map<string, Consumption>();
  for (const { stream, durable, events } of parts) {
    const name = JSON.stringify([stream, durable]);
    found.set(name, { stream, durable, events: [...(found.get(name)?.events ?? []), ...events] });
  }
  return [...found.values()];
}

/** `#/channels/<channel>/messages/<message>`. */
function toEvent({ channels, components }: Document, ref: string): CatalogEvent | undefined {
  const [, , channelId = '', , messageId = ''] = ref.split('/');
  const [channel, message] = [channels[channelId], components.messages[messageId]];
  if (channel === undefined || message === undefined) return undefined;
  const { title, description, payload, examples, [EXTENSION]: extension } = message;
  const { type, version, key, stream, computed } = extension;
  return {
    type,
    version,
    ...(title === undefined || title === type ? {} : { title }),
    ...(description === undefined ? {} : { description }),
    subject: channel.address,
    parameters: Object.keys(channel.parameters).map((name) => ({ name, property: !computed.includes(name) })),
    key,
    ...(stream === undefined ? {} : { stream }),
    schema: payload.schema,
    ...(examples?.[0] === undefined ? {} : { example: examples[0].payload }),
  };
}
