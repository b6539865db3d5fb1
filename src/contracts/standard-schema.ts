/**
 * What zod, valibot, arktype and others have in common (https://standardschema.dev, version 1). Declared here, so that none
 * of them is needed.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Validation<Output> | Promise<Validation<Output>>;
    /** Of the types only: there is no such value. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
    /** Of the libraries that can write themselves as JSON Schema. */
    readonly jsonSchema?: JsonSchemaWriter | undefined;
  };
}

export type Validation<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

export interface JsonSchemaWriter {
  readonly input: (options: { readonly target: 'draft-07' }) => Record<string, unknown>;
  readonly output: (options: { readonly target: 'draft-07' }) => Record<string, unknown>;
}

/** What a writer hands in. */
export type InputOf<Schema extends StandardSchema> = NonNullable<Schema['~standard']['types']>['input'];

/** What a reader gets. */
export type OutputOf<Schema extends StandardSchema> = NonNullable<Schema['~standard']['types']>['output'];

/** Functions may be schemas too: those of arktype are. */
export function isStandardSchema(value: unknown): value is StandardSchema {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  const standard: unknown = (value as Record<string, unknown>)['~standard'];
  return (
    typeof standard === 'object' &&
    standard !== null &&
    (standard as Record<string, unknown>).version === 1 &&
    typeof (standard as Record<string, unknown>).validate === 'function'
  );
}
