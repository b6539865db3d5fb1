import { type AnyEvent, RULES } from '../contracts/define-event.ts';
import { nameOf, toOutboxEvent } from '../contracts/typed-event.ts';
import { messageOf, PostcommitError } from '../errors.ts';
import { patternsCover } from '../jetstream/index.ts';
import type { ServiceDefinition } from './define-service.ts';
import { type CatalogEvent, type CatalogService, COMPUTED, type JsonSchema } from './model.ts';

/**
 * What the definitions of a service say, as plain data. An example is checked, and shown as it would be written.
 *
 * @throws PostcommitError for an example that is refused, and for a schema that cannot be written as JSON Schema.
 */
export async function describeService(service: ServiceDefinition): Promise<CatalogService> {
  const { name, version, description, owners, streams } = service;
  return {
    name,
    version,
    ...(description === undefined ? {} : { description }),
    owners,
    streams,
    produces: await Promise.all(
      service.produces.map((event) =>
        describeEvent(event, streams.find(({ subjects }) => patternsCover(subjects, event.pattern))?.name),
      ),
    ),
    consumes: await Promise.all(
      service.consumes.map(async ({ stream, durable, events }) => ({
        stream,
        durable,
        events: await Promise.all(events.map((event) => describeEvent(event, undefined))),
      })),
    ),
  };
}

async function describeEvent(event: AnyEvent, stream: string | undefined): Promise<CatalogEvent> {
  const { template, properties } = event[RULES];
  const { title, description } = event;
  return {
    type: event.type,
    version: event.version,
    ...(title === undefined ? {} : { title }),
    ...(description === undefined ? {} : { description }),
    subject: event.subject,
    parameters: template.parameters.map((name) => ({ name, property: properties.includes(name) })),
    key: typeof event.keyedBy === 'object' ? COMPUTED : (event.keyedBy ?? null),
    ...(stream === undefined ? {} : { stream }),
    schema: schemaOf(event),
    ...(event.example === undefined ? {} : { example: await exampleOf(event) }),
  };
}

async function exampleOf(event: AnyEvent): Promise<unknown> {
  try {
    const { payload } = await toOutboxEvent({ definition: event, payload: event.example });
    return JSON.parse(Buffer.from(payload as Uint8Array).toString());
  } catch (error) {
    throw new PostcommitError(
      'config-invalid',
      `the example of ${nameOf(event)} would be refused: ${messageOf(error)}`,
      'Correct the example, or the schema.',
      { cause: error },
    );
  }
}

/** What a reader accepts: what writers write is part of it, since `enqueue()` makes sure of that. */
function schemaOf(event: AnyEvent): JsonSchema {
  const schema = event.jsonSchema ?? written(event);
  const { $schema: _, '~standard': __, ...rest } = schema as Record<string, unknown>;
  return JSON.parse(JSON.stringify(rest));
}

function written(event: AnyEvent): JsonSchema {
  const { jsonSchema, vendor } = event.schema['~standard'];
  if (jsonSchema === undefined)
    throw unwritable(
      event,
      `${vendor} does not write JSON Schema by itself`,
      vendor === 'valibot'
        ? 'Wrap it: toStandardJsonSchema(schema) of @valibot/to-json-schema; or give `jsonSchema` to defineEvent().'
        : 'Give `jsonSchema` to defineEvent().',
    );
  try {
    return jsonSchema.input({ target: 'draft-07' });
  } catch (error) {
    throw unwritable(event, messageOf(error), 'Give `jsonSchema` to defineEvent().');
  }
}

function unwritable(event: AnyEvent, why: string, hint: string): PostcommitError {
  return new PostcommitError(
    'config-invalid',
    `the schema of ${nameOf(event)} cannot be written as JSON Schema: ${why}`,
    hint,
  );
}
