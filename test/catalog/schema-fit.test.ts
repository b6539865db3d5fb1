import fc from 'fast-check';
import { expect, test } from 'vitest';
import { z } from 'zod';
import type { JsonSchema } from '../../src/catalog/model.ts';
import { misfitsOf } from '../../src/catalog/schema-fit.ts';

/** A schema that zod and JSON Schema both know, small enough for two of them to be alike. */
const schemas: fc.Arbitrary<z.ZodType> = fc.letrec<{ any: z.ZodType; leaf: z.ZodType; object: z.ZodType }>(
  (tie) => ({
    leaf: fc.oneof(
      fc.constantFrom<z.ZodType>(
        z.string(),
        z.number(),
        z.int(),
        z.boolean(),
        z.null(),
        z.string().nullable(),
      ),
      fc.integer({ min: 0, max: 3 }).map((max) => z.string().max(max)),
      fc.integer({ min: -2, max: 2 }).map((min) => z.number().min(min)),
      fc.subarray(['a', 'b', 'c'], { minLength: 1 }).map((values) => z.enum(values as [string, ...string[]])),
      fc.constantFrom('a', 1, true, null).map((value) => z.literal(value)),
    ),
    object: fc
      .tuple(
        fc.dictionary(fc.constantFrom('p', 'q', 'r'), fc.tuple(tie('any'), fc.boolean()), { maxKeys: 3 }),
        fc.boolean(),
      )
      .map(([properties, strict]) => {
        const shape = Object.fromEntries(
          Object.entries(properties).map(([name, [type, optional]]) => [
            name,
            optional ? type.optional() : type,
          ]),
        );
        return strict ? z.strictObject(shape) : z.object(shape);
      }),
    any: fc.oneof(
      { maxDepth: 2 },
      tie('leaf'),
      tie('object'),
      tie('any').map((item) => z.array(item)),
      fc.tuple(tie('any'), tie('any')).map((options) => z.union(options)),
      tie('any').map((value) => z.record(z.string(), value)),
    ),
  }),
).any;

const leaves = fc.constantFrom<unknown>('', 'a', 'b', 'c', 'abcd', 0, 1, -1, 0.5, true, false, null);
const values = fc.letrec<{ any: unknown; leaf: unknown }>((tie) => ({
  leaf: leaves,
  any: fc.oneof(
    { maxDepth: 2 },
    tie('leaf'),
    fc.array(tie('any'), { maxLength: 2 }),
    fc.dictionary(fc.constantFrom('p', 'q', 'r'), tie('any'), { maxKeys: 3 }),
  ),
})).any;

function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { target: 'draft-7', io: 'input' }) as JsonSchema;
}

/** What a writer writes: as its schema has made it, so without properties that it does not know. */
function written(schema: z.ZodType, value: unknown): unknown {
  const parsed = schema.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}

test('where no misfit is found, a reader refuses nothing that a writer writes', () => {
  let [fitting, compared] = [0, 0];
  fc.assert(
    fc.property(
      schemas,
      schemas,
      fc.array(values, { minLength: 20, maxLength: 20 }),
      (writer, reader, candidates) => {
        if (misfitsOf(jsonSchemaOf(writer), jsonSchemaOf(reader)).length > 0) return;
        fitting++;
        for (const candidate of candidates) {
          const value = written(writer, candidate);
          if (value === undefined) continue;
          compared++;
          expect(reader.safeParse(value).error?.issues).toBeUndefined();
        }
      },
    ),
    { numRuns: 6_000 },
  );
  // Or it would say nothing.
  expect(fitting).toBeGreaterThan(100);
  expect(compared).toBeGreaterThan(200);
});

test('a schema fits itself', () => {
  fc.assert(
    fc.property(schemas, (schema) => {
      expect(misfitsOf(jsonSchemaOf(schema), jsonSchemaOf(schema))).toEqual([]);
    }),
    { numRuns: 1_000 },
  );
});

test.each<readonly [string, JsonSchema, JsonSchema, readonly string[]]>([
  ['references', { $ref: '#/definitions/a', definitions: { a: { type: 'string' } } }, { type: 'string' }, []],
  ['a reference that leads nowhere', { $ref: '#/definitions/a' }, { type: 'string' }, ['type ']],
  [
    'parts together',
    { allOf: [{ properties: { a: { type: 'string' } } }, { required: ['a'] }], type: 'object' },
    { type: 'object', required: ['a'] },
    [],
  ],
  [
    'tuples',
    { type: 'array', items: [{ type: 'string' }] },
    { type: 'array', items: [{ type: 'number' }] },
    ['type [0]'],
  ],
  [
    'tuples of another length',
    { type: 'array', items: [{}] },
    { type: 'array', items: [{}, {}] },
    ['type []'],
  ],
  [
    'items where there were any',
    { type: 'array' },
    { type: 'array', items: { type: 'string' } },
    ['type []'],
  ],
  ['multiples', { type: 'number', multipleOf: 4 }, { type: 'number', multipleOf: 2 }, []],
  ['other multiples', { type: 'number', multipleOf: 3 }, { type: 'number', multipleOf: 2 }, ['limit ']],
  ['repeated items', { type: 'array' }, { type: 'array', uniqueItems: true }, ['limit ']],
  ['values of another form', { enum: ['a', 'bb'] }, { type: 'string', pattern: '^.$' }, ['format ']],
  [
    'nothing at all',
    { type: 'object', properties: { a: {} } },
    { type: 'object', properties: { a: false } } as never,
    ['type a'],
  ],
])('%s', (_, writer, reader, expected) => {
  expect(misfitsOf(writer, reader).map(({ kind, path }) => `${kind} ${path}`)).toEqual(expected);
});
