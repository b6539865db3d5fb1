import type { JsonSchema } from './model.ts';

export type Node = Readonly<Record<string, unknown>> | boolean;

export type Schema = Readonly<Record<string, unknown>>;

const NONE: Schema = {};

/** Each with what stands beside them. */
export function alternativesOf(schema: Schema): Node[] | undefined {
  for (const keyword of ['anyOf', 'oneOf']) {
    const list = schema[keyword];
    if (!Array.isArray(list)) continue;
    const { [keyword]: _, ...rest } = schema;
    const beside = withoutAnnotations(rest);
    return Object.keys(beside).length === 0 ? list : list.map((each: Node) => ({ allOf: [each, beside] }));
  }
  return undefined;
}

export function partsOf(schema: Schema): Node[] | undefined {
  if (!Array.isArray(schema.allOf)) return undefined;
  const { allOf, ...rest } = schema;
  return [...(allOf as Node[]), rest];
}

/** A writer keeps all parts of `allOf` at once. References in it are left to `unclear`. */
export function merged(schema: Schema): Schema {
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

export function resolve(node: Node, document: JsonSchema): Node {
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

export function typesOf({ type }: Schema): readonly string[] | undefined {
  if (typeof type === 'string') return [type];
  return Array.isArray(type) ? (type as string[]) : undefined;
}

export function constantsOf(schema: Schema): readonly unknown[] | undefined {
  if ('const' in schema) return [schema.const];
  return Array.isArray(schema.enum) ? schema.enum : undefined;
}

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

export function isAnnotation(keyword: string): boolean {
  return ANNOTATIONS.has(keyword) || keyword.startsWith('x-');
}

export function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

export function asList(value: unknown): readonly string[] {
  return Array.isArray(value) ? (value as string[]) : [];
}

/** Types of a writer that are none of the reader's. */
export function strangeAmong(written: readonly string[], wanted: readonly string[]): readonly string[] {
  return written.filter(
    (type) => !wanted.includes(type) && !(type === 'integer' && wanted.includes('number')),
  );
}
