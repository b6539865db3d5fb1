import { PostcommitError } from '../errors.ts';
import type { InputOf, OutputOf, StandardSchema } from './standard-schema.ts';
import { isStandardSchema } from './standard-schema.ts';
import {
  type ParametersOf,
  parseSubjectTemplate,
  type SubjectTemplate,
  type TokenValue,
} from './subject-template.ts';

/** What an event is: its name, where it goes, and what its payload looks like. */
export type EventOptions<
  Type extends string,
  Subject extends string,
  Schema extends StandardSchema,
> = EventFacts<Type, Subject, Schema> & SubjectParameters<Subject, OutputOf<Schema>>;

interface EventFacts<Type extends string, Subject extends string, Schema extends StandardSchema> {
  /** `patient.registered`: becomes the header `Postcommit-Type`. */
  readonly type: Type;
  /** Becomes the header `Event-Version`. A change that old readers or old events do not survive is a new version. Default 1. */
  readonly version?: number;
  /** `ng.patient.{id}`: what stands in braces is taken from the payload, and encoded so that it is one token. */
  readonly subject: Subject;
  /** The aggregate, whose events stay in order: a property of the payload, or a function of it. Default: none. */
  readonly key?: ScalarKeys<OutputOf<Schema>> | ((payload: OutputOf<Schema>) => string);
  /** Of zod, valibot, arktype or any other library with Standard Schema. It must accept what it has made, as JSON. */
  readonly schema: Schema;
  /** For people: a few words. */
  readonly title?: string;
  /** For people: what has happened, and when one sees it. Markdown. */
  readonly description?: string;
  /** A payload for the documentation. */
  readonly example?: InputOf<Schema>;
  /** The schema as JSON Schema (draft 7), where its library cannot write it. */
  readonly jsonSchema?: Readonly<Record<string, unknown>>;
}

type ScalarKeys<Payload> = {
  [Name in keyof Payload & string]: Payload[Name] extends string | number | bigint ? Name : never;
}[keyof Payload & string];

type TokenKeys<Payload> = {
  [Name in keyof Payload & string]: Payload[Name] extends TokenValue ? Name : never;
}[keyof Payload & string];

type Computed<Payload> = (payload: Payload) => TokenValue;

/** A parameter that is no property of the payload has to be computed from it. */
type SubjectParameters<Subject extends string, Payload> =
  Exclude<ParametersOf<Subject>, TokenKeys<Payload>> extends infer Missing extends string
    ? [Missing] extends [never]
      ? { readonly parameters?: { readonly [Name in ParametersOf<Subject>]?: Computed<Payload> } }
      : {
          readonly parameters: { readonly [Name in Missing]: Computed<Payload> } & {
            readonly [Name in ParametersOf<Subject>]?: Computed<Payload>;
          };
        }
    : never;

export interface WriteOptions {
  /** Application headers besides. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: a random UUID. */
  readonly eventId?: string;
}

/** An event with its payload, not checked yet: `enqueue()` does, and writes nothing if the payload is not as it should be. */
export interface TypedEvent<Definition extends AnyEvent = AnyEvent> extends WriteOptions {
  readonly definition: Definition;
  readonly payload: unknown;
}

/** Called with a payload, it makes an event for `enqueue()`. */
export interface EventDefinition<
  Type extends string = string,
  Subject extends string = string,
  Schema extends StandardSchema = StandardSchema,
> extends AnyEvent {
  (payload: InputOf<Schema>, options?: WriteOptions): TypedEvent<EventDefinition<Type, Subject, Schema>>;
  readonly type: Type;
  readonly subject: Subject;
  readonly schema: Schema;
}

/** What all definitions have in common, whatever their payloads. */
export interface AnyEvent {
  readonly type: string;
  readonly version: number;
  /** The template. */
  readonly subject: string;
  /** The subject to subscribe to: with `*` for each parameter. */
  readonly pattern: string;
  /** The property that is the key, or that it is computed; undefined without a key. */
  readonly keyedBy: string | { readonly computed: true } | undefined;
  readonly schema: StandardSchema;
  readonly title: string | undefined;
  readonly description: string | undefined;
  readonly example: unknown;
  readonly jsonSchema: Readonly<Record<string, unknown>> | undefined;
  /** How it is written and read; for this package. */
  readonly [RULES]: EventRules;
}

export const RULES: unique symbol = Symbol.for('postcommit.event');

export interface EventRules {
  readonly template: SubjectTemplate;
  /** Parameters that are properties of the payload, by that name. */
  readonly properties: readonly string[];
  subjectOf(payload: unknown): string;
  keyOf(payload: unknown): string | undefined;
}

/**
 * Declares an event once, for those who write it, those who read it, and its documentation.
 *
 * @throws PostcommitError `config-invalid`
 */
export function defineEvent<
  const Type extends string,
  const Subject extends string,
  Schema extends StandardSchema,
>(options: EventOptions<Type, Subject, Schema>): EventDefinition<Type, Subject, Schema> {
  const { type, version = 1, subject, schema, key } = options;
  checkFacts({ type, version, schema, key });
  const template = parseSubjectTemplate(subject);
  const computed = (options.parameters ?? {}) as Readonly<Record<string, Computed<unknown> | undefined>>;
  checkParameters(type, template, computed);
  const valueFor = (payload: unknown, name: string) => computed[name]?.(payload) ?? propertyOf(payload, name);
  const rules: EventRules = {
    template,
    properties: template.parameters.filter((name) => computed[name] === undefined),
    subjectOf: (payload) => template.build((name) => valueFor(payload, name)),
    keyOf(payload) {
      if (key === undefined) return undefined;
      const value = typeof key === 'function' ? key(payload as OutputOf<Schema>) : propertyOf(payload, key);
      return typeof value === 'number' || typeof value === 'bigint' ? String(value) : (value as string);
    },
  };
  const facts = {
    type,
    version,
    subject,
    pattern: template.pattern,
    keyedBy: typeof key === 'function' ? ({ computed: true } as const) : key,
    schema,
    title: options.title,
    description: options.description,
    example: options.example,
    jsonSchema: options.jsonSchema,
    [RULES]: rules,
  };
  const make = (payload: unknown, written: WriteOptions = {}) => ({ definition, payload, ...written });
  const definition = Object.assign(make, facts) as unknown as EventDefinition<Type, Subject, Schema>;
  return definition;
}

/** By what it carries, since an application may have two copies of this package. */
export function isEventDefinition(value: unknown): value is AnyEvent {
  return typeof value === 'function' && RULES in value;
}

function propertyOf(payload: unknown, name: string): unknown {
  return typeof payload === 'object' && payload !== null
    ? (payload as Record<string, unknown>)[name]
    : undefined;
}

function checkFacts({
  type,
  version = 1,
  schema,
  key,
}: Record<'type' | 'schema' | 'key', unknown> & { version?: unknown }): void {
  if (typeof type !== 'string' || !/^\S{1,512}$/.test(type))
    throw invalid('its type is not a name without blanks', 'Use a name like patient.registered.');
  if (typeof version !== 'number' || !Number.isSafeInteger(version) || version < 1)
    throw invalid(`the version of ${type} is not a whole number from 1 on`, 'Count versions: 1, 2, 3.');
  if (!isStandardSchema(schema))
    throw invalid(
      `the schema of ${type} is none of Standard Schema`,
      'Use zod, valibot, arktype, or any library of https://standardschema.dev.',
    );
  if (!['undefined', 'string', 'function'].includes(typeof key))
    throw invalid(`the key of ${type} is neither a property nor a function`, "Write key: 'id'.");
}

function checkParameters(
  type: string,
  { parameters }: SubjectTemplate,
  computed: Readonly<Record<string, unknown>>,
): void {
  const stranger = Object.keys(computed).find((name) => !parameters.includes(name));
  if (stranger !== undefined)
    throw invalid(
      `the subject of ${type} has no parameter '${stranger}'`,
      `Put {${stranger}} into the subject, or leave it out of \`parameters\`.`,
    );
}

function invalid(message: string, hint: string): PostcommitError {
  return new PostcommitError('config-invalid', `an event cannot be defined: ${message}`, hint);
}
