import type { StreamDefinition } from '../jetstream/index.ts';

/** A JSON Schema of draft 7. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** What a service says of itself: what is exported, and compared. Plain data, whether it comes from code or from a document. */
export interface CatalogService {
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  /** Ids of teams or users in an EventCatalog. */
  readonly owners: readonly string[];
  readonly streams: readonly StreamDefinition[];
  /** Events that it alone publishes. */
  readonly produces: readonly CatalogEvent[];
  readonly consumes: readonly Consumption[];
}

export interface CatalogEvent {
  readonly type: string;
  readonly version: number;
  readonly title?: string;
  readonly description?: string;
  /** With parameters in braces. */
  readonly subject: string;
  readonly parameters: readonly CatalogParameter[];
  /** A property of the payload, `COMPUTED`, or null: it has none. */
  readonly key: string | null;
  /** Of an event that is published: which of the streams captures it. Absent if none of them does. */
  readonly stream?: string;
  readonly schema: JsonSchema;
  /** A payload. */
  readonly example?: unknown;
}

export interface CatalogParameter {
  readonly name: string;
  /** It is the property of the payload with this name. */
  readonly property: boolean;
}

/** One durable consumer. Its events are as this service knows them. */
export interface Consumption {
  readonly stream: string;
  readonly durable: string;
  readonly events: readonly CatalogEvent[];
}

/** A key that a function makes of the payload. */
export const COMPUTED = '(computed)';

/** The values that a parameter may have, where its property has few: they stand in the schema. */
export function valuesOf(
  { schema }: CatalogEvent,
  { name, property }: CatalogParameter,
): readonly string[] | undefined {
  const properties = schema.properties as
    | Readonly<Record<string, { enum?: unknown } | undefined>>
    | undefined;
  const values = property ? properties?.[name]?.enum : undefined;
  return Array.isArray(values) && values.every((value) => typeof value === 'string') ? values : undefined;
}
