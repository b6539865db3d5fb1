import { isDeepStrictEqual } from 'node:util';
import { type Misfit, misfit } from './misfit.ts';
import type { JsonSchema } from './model.ts';
import {
  alternativesOf,
  asList,
  asObject,
  constantsOf,
  isAnnotation,
  merged,
  type Node,
  partsOf,
  resolve,
  type Schema,
  strangeAmong,
  typesOf,
} from './schema-shape.ts';
import { compareValue } from './value-fit.ts';

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

function compareSchemas(pair: Pair, writer: Schema, reader: Schema): Misfit[] {
  const branches = alternativesOf(writer);
  if (branches !== undefined) return branches.flatMap((branch) => compare({ ...pair, writer: branch }));
  const parts = partsOf(reader);
  if (parts !== undefined) return parts.flatMap((part) => compare({ ...pair, reader: part }));
  const options = alternativesOf(reader);
  if (options !== undefined) return best(options.map((option) => compare({ ...pair, reader: option })));
  const whole = merged(writer);
  const values = constantsOf(whole);
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

function best(attempts: readonly Misfit[][]): Misfit[] {
  return attempts.reduce((least, each) => (each.length < least.length ? each : least));
}

function compareTypes(pair: Pair, writer: Schema, reader: Schema): Misfit[] {
  const wanted = typesOf(reader);
  if (wanted === undefined) return [];
  const written = typesOf(writer);
  if (written === undefined)
    return [misfit(pair, 'type', `may be anything, not only ${wanted.join(' or ')}`)];
  const strange = strangeAmong(written, wanted);
  if (strange.length === 0) return [];
  return [misfit(pair, 'type', `may be ${strange.join(' or ')}, not only ${wanted.join(' or ')}`)];
}

function compareEnums(pair: Pair, reader: Schema): Misfit[] {
  const values = constantsOf(reader);
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
function compareOthers(pair: Pair, writer: Schema, reader: Schema): Misfit[] {
  return Object.keys(reader)
    .filter((keyword) => !UNDERSTOOD.has(keyword) && !isAnnotation(keyword))
    .filter((keyword) => !isDeepStrictEqual(writer[keyword], reader[keyword]))
    .map((keyword) =>
      misfit(pair, 'unclear', `has another '${keyword}', which the comparison does not understand`),
    );
}
