import { isDeepStrictEqual } from 'node:util';
import { type Misfit, misfit } from './misfit.ts';
import { constantsOf, type Schema, strangeAmong, typesOf } from './schema-shape.ts';

/** Where a reader refuses a value that the writer has as a constant. */
export function compareValue(at: Pick<Misfit, 'path'>, value: unknown, reader: Schema): Misfit[] {
  const wanted = typesOf(reader);
  const type = typeOf(value);
  if (wanted !== undefined && strangeAmong([type], wanted).length > 0)
    return [misfit(at, 'type', `may be ${type}, not only ${wanted.join(' or ')}`)];
  const values = constantsOf(reader);
  if (values !== undefined && !values.some((each) => isDeepStrictEqual(each, value)))
    return [
      misfit(at, 'value', `may be ${JSON.stringify(value)}, which is none of ${JSON.stringify(values)}`),
    ];
  if (!keepsLimits(value, reader))
    return [misfit(at, 'limit', `may be ${JSON.stringify(value)}, which is beyond its limits`)];
  if (!hasForm(value, reader))
    return [misfit(at, 'format', `may be ${JSON.stringify(value)}, which may have another form`)];
  // A list or an object as a constant: rare enough to be content with what is the same.
  if (typeof value === 'object' && value !== null && values === undefined)
    return [misfit(at, 'unclear', 'is a constant, which the comparison does not look into')];
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
