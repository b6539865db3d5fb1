import { isDeepStrictEqual } from 'node:util';
import type { JsonSchema } from './model.ts';

/** Why a reader refuses some of what a writer writes. */
export type MisfitKind =
  /** The reader needs a property that the writer does not know. */
  | 'property-missing'
  /** … or does not always write. */
  | 'property-optional'
  /** The reader takes no other properties than it knows. */
  | 'property-unknown'
  | 'type'
  | 'value'
  | 'limit'
  | 'format'
  /** The comparison does not understand it, and it is not the same. */
  | 'unclear';

export interface Misfit {
  /** `address.lines[]`; empty for the payload as a whole. */
  readonly path: string;
  readonly kind: MisfitKind;
  /** What is the matter, in words that follow a name: `is not written`. */
  readonly detail: string;
}

type Node = Readonly<Record<string, unknown>> | boolean;

/** Two schemas side by side, each with the document that its references point into. */
interface Pair {
  readonly writer: Node;
  readonly reader: Node;
  readonly path: string;
  readonly documents: { readonly writer: JsonSchema; readonly reader: JsonSchema };
  /** Pairs that are being compared further up: a schema may contain itself. */
  readonly above: readonly (readonly [unknown, unknown])[];
}

/**
 * Where a reader with one schema refuses what a writer with the other may write. Writers write the properties of their schema
 * and no others, and always those that have a default. Conservative: what it does not understand and is not the same, it
 * reports.
 */
export function misfitsOf(writer: JsonSchema, reader: JsonSchema): readonly Misfit[] {
  const found = compare({ writer, reader, path: '', documents: { writer, reader }, above: [] });
  const seen = new Set<string>();
  return found.filter(({ path, kind }) => {
    const name = `${path} ${kind}`;
    return seen.has(name) ? false : seen.add(name);
  });
}

function compare(pair: Pair): Misfit[] {
  const { documents, above } = pair;
  const writer = resolve(pair.writer, documents.writer);
  const reader = resolve(pair.reader, documents.reader);
  if (above.some(([w, r]) => w === writer && r === reader)) return [];
  if (reader === true || writer === false) return [];
  const next: Pair = { ...pair, writer, reader, above: [...above, [writer, reader]] };
  if (reader === false) return [misfit(next, 'type', 'is refused altogether')];
  if (writer === true) return compareSchemas(next, {}, reader);
  return compareSchemas(next, writer, reader);
}

type Schema = Readonly<Record<string, unknown>>;

function compareSchemas(pair: Pair, writer: Schema, reader: Schema): Misfit[] {
  const branches = alternativesOf(writer);
  if (branches !== undefined) return branches.flatMap((branch) => compare({ ...pair, writer: branch }));
  const parts = partsOf(reader);
  if (parts !== undefined) return parts.flatMap((part) => compare({ ...pair, reader: part }));
  const options = alternativesOf(reader);
  if (options !== undefined) return best(options.map((option) => compare({ ...pair, reader: option })));
  const whole = merged(writer);
  const values = valuesOf(whole);
  if (values !== undefined) return values.flatMap((value) => compareValue(pair, value, reader));
  const types = compareTypes(pair, whole, reader);
  if (types.length > 0) return types;
  return [
    ...compareEnums(pair, reader),
    ...compareLimits(pair, whole, reader),
    ...compareFormats(pair, whole, reader),
    ...compareObjects(pair, whole, reader),
    ...compareArrays(pair, whole, reader),
    ...compareOthers(pair, whole, reader),
  ];
}

const NONE: Schema = {};

/** Each with what stands beside them. */
function alternativesOf(schema: Schema): Node[] | undefined {
  for (const keyword of ['anyOf', 'oneOf']) {
    const list = schema[keyword];
    if (!Array.isArray(list)) continue;
    const { [keyword]: _, ...rest } = schema;
    const beside = withoutAnnotations(rest);
    return Object.keys(beside).length === 0 ? list : list.map((each: Node) => ({ allOf: [each, beside] }));
  }
  return undefined;
}

function partsOf(schema: Schema): Node[] | undefined {
  if (!Array.isArray(schema.allOf)) return undefined;
  const { allOf, ...rest } = schema;
  return [...(allOf as Node[]), rest];
}

/** A writer keeps all parts of `allOf` at once. References in it are left to `unclear`. */
function merged(schema: Schema): Schema {
  if (!Array.isArray(schema.allOf)) return schema;
  const { allOf, ...rest } = schema;
  const whole: Record<string, unknown> = {};
  for (const part of [...(allOf as Node[]), rest]) {
    const one = typeof part === 'object' ? merged(part) : NONE;
    const properties = { ...asObject(whole.properties), ...asObject(one.properties) };
    const required = [...asList(whole.required), ...asList(one.required)];
    Object.assign(whole, one, { properties, required });
  }
  return whole;
}

function best(attempts: readonly Misfit[][]): Misfit[] {
  return attempts.reduce((least, each) => (each.length < least.length ? each : least));
}

function resolve(node: Node, document: JsonSchema): Node {
  let found: unknown = node;
  for (let hops = 0; hops < 20; hops++) {
    const reference = typeof found === 'object' && found !== null ? (found as Schema).$ref : undefined;
    if (typeof reference !== 'string' || !reference.startsWith('#')) return found as Node;
    found = reference
      .slice(1)
      .split('/')
      .slice(1)
      .map((part) => decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~'))
      .reduce<unknown>((at, part) => (at as Schema | undefined)?.[part], document);
    if (found === undefined) return true;
  }
  return true;
}

function typesOf({ type }: Schema): readonly string[] | undefined {
  if (typeof type === 'string') return [type];
  return Array.isArray(type) ? (type as string[]) : undefined;
}

function valuesOf(schema: Schema): readonly unknown[] | undefined {
  if ('const' in schema) return [schema.const];
  return Array.isArray(schema.enum) ? schema.enum : undefined;
}

function compareTypes(pair: Pair, writer: Schema, reader: Schema): Misfit[] {
  const wanted = typesOf(reader);
  if (wanted === undefined) return [];
  const written = typesOf(writer);
  if (written === undefined)
    return [misfit(pair, 'type', `may be anything, not only ${wanted.join(' or ')}`)];
  const strange = written.filter(
    (type) => !wanted.includes(type) && !(type === 'integer' && wanted.includes('number')),
  );
  if (strange.length === 0) return [];
  return [misfit(pair, 'type', `may be ${strange.join(' or ')}, not only ${wanted.join(' or ')}`)];
}

function compareValue(pair: Pair, value: unknown, reader: Schema): Misfit[] {
  const wanted = typesOf(reader);
  const type = typeOf(value);
  if (wanted !== undefined && !wanted.includes(type) && !(type === 'integer' && wanted.includes('number')))
    return [misfit(pair, 'type', `may be ${type}, not only ${wanted.join(' or ')}`)];
  const values = valuesOf(reader);
  if (values !== undefined && !values.some((each) => isDeepStrictEqual(each, value)))
    return [
      misfit(pair, 'value', `may be ${JSON.stringify(value)}, which is none of ${JSON.stringify(values)}`),
    ];
  if (!keepsLimits(value, reader))
    return [misfit(pair, 'limit', `may be ${JSON.stringify(value)}, which is beyond its limits`)];
  if (!hasForm(value, reader))
    return [misfit(pair, 'format', `may be ${JSON.stringify(value)}, which may have another form`)];
  // A list or an object as a constant: rare enough to be content with what is the same.
  if (typeof value === 'object' && value !== null && values === undefined)
    return [misfit(pair, 'unclear', 'is a constant, which the comparison does not look into')];
  return [];
}

function keepsLimits(value: unknown, reader: Schema): boolean {
  const size = typeof value === 'string' ? [...value].length : value;
  if (typeof size !== 'number') return true;
  const of = (keyword: string) => {
    const limit = reader[typeof value === 'string' ? keyword.replace('imum', 'Length') : keyword];
    return typeof limit === 'number' ? limit : undefined;
  };
  const [least, most] = [of('minimum') ?? -Infinity, of('maximum') ?? Infinity];
  const [above, beneath] = [of('exclusiveMinimum') ?? -Infinity, of('exclusiveMaximum') ?? Infinity];
  const step = typeof value === 'number' ? of('multipleOf') : undefined;
  return (
    size >= least &&
    size <= most &&
    size > above &&
    size < beneath &&
    (step === undefined || size % step === 0)
  );
}

function hasForm(value: unknown, { pattern, format }: Schema): boolean {
  if (typeof value !== 'string') return true;
  return format === undefined && (typeof pattern !== 'string' || new RegExp(pattern, 'u').test(value));
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function compareEnums(pair: Pair, reader: Schema): Misfit[] {
  const values = valuesOf(reader);
  if (values === undefined) return [];
  return [
    misfit(
      pair,
      'value',
      `may be something else than ${values.map((each) => JSON.stringify(each)).join(', ')}`,
    ),
  ];
}

const AT_LEAST = ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties'];
const AT_MOST = ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties'];

function compareLimits(pair: Pair, writer: Schema, reader: Schema): Misfit[] {
  const found: Misfit[] = [];
  const check = (keyword: string, keeps: (written: number, wanted: number) => boolean) => {
    const [written, wanted] = [writer[keyword], reader[keyword]];
    if (typeof wanted !== 'number' || (typeof written === 'number' && keeps(written, wanted))) return;
    found.push(
      misfit(pair, 'limit', `has the ${keyword} ${written ?? 'none'} as written, and ${wanted} as read`),
    );
  };
  for (const keyword of AT_LEAST) check(keyword, (written, wanted) => written >= wanted);
  for (const keyword of AT_MOST) check(keyword, (written, wanted) => written <= wanted);
  check('multipleOf', (written, wanted) => written % wanted === 0);
  if (reader.uniqueItems === true && writer.uniqueItems !== true)
    found.push(misfit(pair, 'limit', 'may repeat its items'));
  return found;
}

function compareFormats(pair: Pair, writer: Schema, reader: Schema): Misfit[] {
  return ['format', 'pattern', 'contentEncoding', 'contentMediaType']
    .filter((keyword) => reader[keyword] !== undefined && reader[keyword] !== writer[keyword])
    .map((keyword) =>
      misfit(
        pair,
        'format',
        `has the ${keyword} ${JSON.stringify(writer[keyword] ?? 'none')} as written, and ${JSON.stringify(reader[keyword])} as read`,
      ),
    );
}

function compareObjects(pair: Pair, writer: Schema, reader: Schema): Misfit[] {
  const [written, wanted] = [asObject(writer.properties), asObject(reader.properties)];
  return [
    ...compareRequired(pair, writer, asList(reader.required)),
    ...Object.entries(written).flatMap(([name, property]) => {
      const at = { ...pair, writer: property as Node, path: below(pair, name) };
      if (name in wanted) return compare({ ...at, reader: wanted[name] as Node });
      return compareExtra(at, reader.additionalProperties);
    }),
    ...compareRecords(pair, writer, reader),
  ];
}

function compareRequired(pair: Pair, writer: Schema, required: readonly string[]): Misfit[] {
  const properties = asObject(writer.properties);
  const always = new Set([
    ...asList(writer.required),
    ...Object.keys(properties).filter((name) => 'default' in asObject(properties[name])),
  ]);
  return required
    .filter((name) => !always.has(name))
    .map((name) => {
      const at = { path: below(pair, name) };
      const known = name in properties || typeof writer.additionalProperties === 'object';
      return known
        ? misfit(at, 'property-optional', 'is not always written, and readers need it')
        : misfit(at, 'property-missing', 'is not written, and readers need it');
    });
}

function below({ path }: Pair, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function compareExtra(at: Pair, additional: unknown): Misfit[] {
  if (additional === false)
    return [misfit(at, 'property-unknown', 'is written, and readers take no property that they do not know')];
  return typeof additional === 'object' && additional !== null
    ? compare({ ...at, reader: additional as Node })
    : [];
}

/** A writer of a record may write any name, one that the reader knows among them. */
function compareRecords(pair: Pair, writer: Schema, reader: Schema): Misfit[] {
  if (typeof writer.additionalProperties !== 'object') return [];
  const values = { ...pair, writer: writer.additionalProperties as Node };
  const written = asObject(writer.properties);
  return [
    ...compareExtra({ ...values, path: `${pair.path}{}` }, reader.additionalProperties),
    ...Object.entries(asObject(reader.properties))
      .filter(([name]) => !(name in written))
      .flatMap(([name, property]) =>
        compare({ ...values, path: below(pair, name), reader: property as Node }),
      ),
  ];
}

function compareArrays(pair: Pair, writer: Schema, reader: Schema): Misfit[] {
  const [written, wanted] = [writer.items, reader.items];
  if (wanted === undefined || isDeepStrictEqual(written, wanted)) return [];
  const at = { ...pair, path: `${pair.path}[]` };
  if (Array.isArray(wanted)) {
    if (!Array.isArray(written) || written.length !== wanted.length)
      return [misfit(at, 'type', 'is a list with other places')];
    return written.flatMap((item: Node, i) =>
      compare({ ...pair, path: `${pair.path}[${i}]`, writer: item, reader: wanted[i] as Node }),
    );
  }
  const items = Array.isArray(written) ? written : [written ?? true];
  return items.flatMap((item: Node) => compare({ ...at, writer: item, reader: wanted as Node }));
}

const UNDERSTOOD = new Set([
  ...AT_LEAST,
  ...AT_MOST,
  ...[
    'multipleOf',
    'uniqueItems',
    'format',
    'pattern',
    'contentEncoding',
    'contentMediaType',
    'type',
    'enum',
    'const',
  ],
  ...['properties', 'required', 'additionalProperties', 'items', '$ref', 'anyOf', 'oneOf', 'allOf'],
]);
const ANNOTATIONS = new Set([
  ...[
    'title',
    'description',
    'default',
    'examples',
    'deprecated',
    'readOnly',
    'writeOnly',
    '$id',
    '$schema',
    '$comment',
  ],
  ...['definitions', '$defs', 'id'],
]);

function withoutAnnotations(schema: Schema): Schema {
  return Object.fromEntries(Object.entries(schema).filter(([keyword]) => !isAnnotation(keyword)));
}

function isAnnotation(keyword: string): boolean {
  return ANNOTATIONS.has(keyword) || keyword.startsWith('x-');
}

function compareOthers(pair: Pair, writer: Schema, reader: Schema): Misfit[] {
  return Object.keys(reader)
    .filter((keyword) => !UNDERSTOOD.has(keyword) && !isAnnotation(keyword))
    .filter((keyword) => !isDeepStrictEqual(writer[keyword], reader[keyword]))
    .map((keyword) =>
      misfit(pair, 'unclear', `has another '${keyword}', which the comparison does not understand`),
    );
}

function misfit({ path }: Pick<Pair, 'path'>, kind: MisfitKind, detail: string): Misfit {
  return { path, kind, detail };
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function asList(value: unknown): readonly string[] {
  return Array.isArray(value) ? (value as string[]) : [];
}
