import { expect, test } from 'vitest';
import { z } from 'zod';
import { CHANGE_KINDS, type ChangeKind } from '../../src/catalog/compare.ts';
import { breakingChanges, defineService, describeService } from '../../src/catalog/index.ts';
import { type AnyEvent, defineEvent, type StandardSchema } from '../../src/index.ts';
import { serviceOf } from './patients.ts';

const PATIENT = { id: z.string(), country: z.enum(['ng', 'gb']), age: z.number().optional() };

interface Change {
  readonly before?: StandardSchema;
  readonly after?: StandardSchema;
}

function event(schema: StandardSchema, more: object = {}): AnyEvent {
  return defineEvent({ type: 'patient.registered', subject: 'ng.patient', schema, ...more });
}

async function found({ before = z.object(PATIENT), after = z.object(PATIENT) }: Change) {
  const changes = breakingChanges([await serviceOf(event(before))], [await serviceOf(event(after))]);
  return changes.map(({ kind, path }) => `${kind} ${path}`.trim());
}

const list = (item: z.ZodType) => z.object({ ids: z.array(item) });

/** Each kind, with a change of a schema that is one. */
const BREAKING: readonly (readonly [ChangeKind, string, Change, readonly string[]])[] = [
  [
    'property-removed',
    'a property that readers need',
    { after: z.object(PATIENT).omit({ id: true }) },
    ['property-removed id'],
  ],
  [
    'property-optional',
    'a property that is not always there any more',
    { after: z.object({ ...PATIENT, id: z.string().optional() }) },
    ['property-optional id'],
  ],
  [
    'property-required',
    'a new property that old events do not have',
    { after: z.object({ ...PATIENT, name: z.string() }) },
    ['property-required name'],
  ],
  [
    'property-required',
    'a property that old events may lack',
    { after: z.object({ ...PATIENT, age: z.number() }) },
    ['property-required age'],
  ],
  [
    'property-added',
    'a property that strict readers refuse',
    { before: z.strictObject(PATIENT), after: z.strictObject({ ...PATIENT, name: z.string().optional() }) },
    ['property-added name'],
  ],
  [
    'property-refused',
    'a property that old events have, and strict readers refuse',
    { before: z.strictObject({ ...PATIENT, name: z.string().optional() }), after: z.strictObject(PATIENT) },
    ['property-refused name'],
  ],
  [
    'type-changed',
    'another type',
    { after: z.object({ ...PATIENT, id: z.number() }) },
    ['type-changed id', 'type-changed id'],
  ],
  [
    'type-changed',
    'null besides',
    { after: z.object({ ...PATIENT, id: z.string().nullable() }) },
    ['type-changed id'],
  ],
  [
    'type-changed',
    'in a list',
    { before: list(z.string()), after: list(z.number()) },
    ['type-changed ids[]', 'type-changed ids[]'],
  ],
  [
    'value-added',
    'a value that old readers do not know',
    { after: z.object({ ...PATIENT, country: z.enum(['ng', 'gb', 'fr']) }) },
    ['value-added country'],
  ],
  [
    'value-removed',
    'a value that old events have',
    { after: z.object({ ...PATIENT, country: z.enum(['ng']) }) },
    ['value-removed country'],
  ],
  [
    'value-added',
    'any text where there were values',
    { after: z.object({ ...PATIENT, country: z.string() }) },
    ['value-added country'],
  ],
  [
    'limit-loosened',
    'longer texts',
    { before: z.object({ id: z.string().max(10) }), after: z.object({ id: z.string().max(20) }) },
    ['limit-loosened id'],
  ],
  [
    'limit-tightened',
    'shorter texts',
    { before: z.object({ id: z.string().max(20) }), after: z.object({ id: z.string().max(10) }) },
    ['limit-tightened id'],
  ],
  [
    'limit-tightened',
    'smaller numbers',
    { before: z.object({ n: z.number() }), after: z.object({ n: z.number().min(0) }) },
    ['limit-tightened n'],
  ],
  [
    'format-changed',
    'a form that old events need not have',
    { before: z.object({ id: z.string() }), after: z.object({ id: z.uuid() }) },
    ['format-changed id'],
  ],
];

test.each(BREAKING)('%s: %s', async (kind, _, change, expected) => {
  const changes = await found(change);
  expect(changes).toEqual(expected);
  expect(changes.some((each) => each.startsWith(kind))).toBe(true);
});

test.each<readonly [string, Change]>([
  ['nothing', {}],
  ['another optional property', { after: z.object({ ...PATIENT, name: z.string().optional() }) }],
  ['one that is always written', { after: z.object({ ...PATIENT, name: z.string().default('?') }) }],
  ['one less that nobody needs', { after: z.object(PATIENT).omit({ age: true }) }],
  ['words about it', { after: z.object({ ...PATIENT, id: z.string().describe('of the registry') }) }],
  [
    'the order of properties',
    { after: z.object({ age: PATIENT.age, country: PATIENT.country, id: PATIENT.id }) },
  ],
  ['the order of values', { after: z.object({ ...PATIENT, country: z.enum(['gb', 'ng']) }) }],
  [
    'the order of alternatives',
    { before: z.union([z.string(), z.number()]), after: z.union([z.number(), z.string()]) },
  ],
])('%s is nothing that breaks', async (_, change) => {
  expect(await found(change)).toEqual([]);
});

test('a schema that contains itself is compared to its end', async () => {
  const tree = z.object({
    name: z.string(),
    get parts() {
      return z.array(tree).optional();
    },
  });
  const other = z.object({
    name: z.string(),
    size: z.number(),
    get parts() {
      return z.array(other).optional();
    },
  });
  expect(await found({ before: tree, after: tree })).toEqual([]);
  expect(await found({ before: tree, after: other })).toContain('property-required size');
});

test('what it does not understand is reported, if it is not the same', async () => {
  const jsonSchema = { type: 'object', patternProperties: { '^x': { type: 'string' } } };
  const of = (schema: object) => serviceOf(event(z.object({}), { jsonSchema: schema }));
  expect(breakingChanges([await of(jsonSchema)], [await of(jsonSchema)])).toEqual([]);
  const other = { ...jsonSchema, patternProperties: { '^y': { type: 'string' } } };
  const changes = breakingChanges([await of(jsonSchema)], [await of(other)]);
  expect(changes.map(({ kind }) => kind)).toEqual(['unclear', 'unclear']);
});

const schema = z.object({ id: z.string(), other: z.string() });
const stream = { name: 'patients', subjects: ['ng.>'] };

function service(produced: AnyEvent[], streams: object[] = [stream]) {
  return describeService(
    defineService({
      name: 'registry',
      version: '1.0.0',
      produces: produced,
      streams: streams as (typeof stream)[],
    }),
  );
}

test.each<readonly [ChangeKind, () => ReturnType<typeof service>]>([
  ['event-removed', () => service([])],
  ['event-removed', () => service([event(schema, { key: 'id', version: 2 })])],
  ['subject-changed', () => service([event(schema, { key: 'id', subject: 'ng.patient.{id}' })])],
  ['key-changed', () => service([event(schema, { key: 'other' })])],
  ['key-changed', () => service([event(schema)])],
  ['stream-changed', () => service([event(schema, { key: 'id' })], [{ ...stream, name: 'people' }])],
  [
    'retention-changed',
    () => service([event(schema, { key: 'id' })], [{ ...stream, retention: 'workqueue' }]),
  ],
])('%s: %#', async (kind, after) => {
  const changes = breakingChanges([await service([event(schema, { key: 'id' })])], [await after()]);
  expect(changes.map((change) => change.kind)).toEqual([kind]);
});

test('an event may move to another service, and get a newer version beside it', async () => {
  const [before, after] = await Promise.all([
    service([event(schema, { key: 'id' })]),
    service([event(schema, { key: 'id' }), event(z.object({ all: z.string() }), { version: 2 })]),
  ]);
  expect(breakingChanges([before], [{ ...after, name: 'people' }])).toEqual([]);
});

test('every kind is one that something above is', () => {
  const shown = [
    ...BREAKING.map(([kind]) => kind),
    ...([
      'event-removed',
      'subject-changed',
      'key-changed',
      'stream-changed',
      'retention-changed',
      'unclear',
    ] as const),
  ];
  expect([...new Set(shown)].sort()).toEqual([...CHANGE_KINDS].sort());
});
