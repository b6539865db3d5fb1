/** One setting that is not as it was declared. */
export interface Difference {
  readonly setting: string;
  readonly declared: unknown;
  readonly found: unknown;
}

/** What became of a declaration. Nothing that exists is ever changed. */
export interface Provisioned {
  readonly name: string;
  readonly created: boolean;
  /** Empty when it is as declared. Only what was declared is compared. */
  readonly differences: readonly Difference[];
}

export function differencesBetween(
  declared: Readonly<Record<string, unknown>>,
  found: Readonly<Record<string, unknown>>,
): Difference[] {
  return Object.entries(declared)
    .filter(([setting, value]) => value !== undefined && !isSame(value, found[setting]))
    .map(([setting, value]) => ({ setting, declared: value, found: found[setting] }));
}

/** For a person: `maxMessages is 100, declared is 1000`. */
export function describeDifference({ setting, declared, found }: Difference): string {
  return `${setting} is ${JSON.stringify(found)}, declared is ${JSON.stringify(declared)}`;
}

function isSame(one: unknown, other: unknown): boolean {
  return textOf(one) === textOf(other);
}

/** Lists are sets here: the order of subjects says nothing. */
function textOf(value: unknown): string {
  return JSON.stringify(Array.isArray(value) ? [...value].sort() : value);
}
