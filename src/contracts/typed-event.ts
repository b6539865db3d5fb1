import { messageOf, PostcommitError } from '../errors.ts';
import type { OutboxEvent } from '../event.ts';
import { type AnyEvent, isEventDefinition, RULES, type TypedEvent } from './define-event.ts';
import { checkPayload, InvalidPayload } from './validate.ts';

/** An application header: whoever writes by SQL may set it too. Absent it means version 1. */
export const VERSION_HEADER = 'Event-Version';

/** Whatever its case: NATS keeps the writer's. */
export function isVersionHeader(name: string): boolean {
  return name.toLowerCase() === VERSION_HEADER.toLowerCase();
}

export function isTypedEvent(event: unknown): event is TypedEvent {
  return (
    typeof event === 'object' &&
    event !== null &&
    'definition' in event &&
    isEventDefinition(event.definition)
  );
}

/** `patient.registered version 1`, for messages. */
export function nameOf({ type, version }: Pick<AnyEvent, 'type' | 'version'>): string {
  return `${type} version ${version}`;
}

/**
 * Checks the payload and makes of it what `enqueue()` writes. What its schema has made of it is written, and not what it was
 * given: properties that the schema drops were not meant for everybody.
 *
 * @throws InvalidPayload, PostcommitError `event-invalid`
 */
export async function toOutboxEvent({
  definition,
  payload,
  headers,
  eventId,
}: TypedEvent): Promise<OutboxEvent> {
  const written = await accepted(definition, payload);
  const json = toJson(definition, written);
  await refuseUnreadable(definition, json);
  return {
    subject: definition[RULES].subjectOf(written),
    type: definition.type,
    headers: { [VERSION_HEADER]: String(definition.version), ...withoutVersion(headers) },
    payload: Buffer.from(json),
    ...(definition.keyedBy === undefined ? {} : { key: keyOf(definition, written) }),
    ...(eventId === undefined ? {} : { eventId }),
  };
}

async function accepted(definition: AnyEvent, payload: unknown): Promise<unknown> {
  const check = await checkPayload(definition.schema, payload);
  if (check.kind === 'invalid') throw new InvalidPayload(nameOf(definition), check.issues);
  return check.value;
}

function toJson(definition: AnyEvent, payload: unknown): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(payload);
  } catch (error) {
    throw unfit(definition, `cannot be written as JSON (${messageOf(error)})`);
  }
  if (json === undefined) throw unfit(definition, `is ${typeof payload}, which JSON cannot express`);
  return json;
}

/** A transformation that cannot be applied to its own result would make a dead letter of every event. */
async function refuseUnreadable(definition: AnyEvent, json: string): Promise<void> {
  const check = await checkPayload(definition.schema, JSON.parse(json));
  if (check.kind === 'valid') return;
  throw new PostcommitError(
    'event-invalid',
    `no consumer could read ${nameOf(definition)}: as JSON, its schema refuses what it has made of the payload`,
    'Let the schema accept its own result: dates as ISO strings or z.coerce.date(), and no one-way transformations.',
  );
}

function keyOf(definition: AnyEvent, payload: unknown): string {
  const key: unknown = definition[RULES].keyOf(payload);
  if (typeof key === 'string' && key !== '') return key;
  throw new PostcommitError(
    'event-invalid',
    `${nameOf(definition)} has no key: ${typeof definition.keyedBy === 'string' ? `'${definition.keyedBy}'` : 'its function'} gives ${key === '' ? 'an empty string' : typeof key}`,
    'The key is the id of the aggregate, a text that is not empty.',
  );
}

function withoutVersion(headers: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isVersionHeader(name)));
}

function unfit(definition: AnyEvent, what: string): PostcommitError {
  return new PostcommitError(
    'event-invalid',
    `the payload of ${nameOf(definition)} ${what}`,
    'Let its schema make something of it that JSON can express.',
  );
}
