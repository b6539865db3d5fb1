/** How a rule came out. */
export type Verdict =
  | { readonly kind: 'passed' }
  | { readonly kind: 'failed'; readonly expected: string; readonly seen: string }
  | { readonly kind: 'not applicable'; readonly reason: string };

export interface Rule<Stage> {
  /** As the page numbers it. */
  readonly id: string;
  /** What is promised, in a few words. */
  readonly about: string;
  /** @throws Unmet, NotApplicable */
  readonly check: (stage: Stage) => Promise<void>;
}

/** The client under test did something else. */
export class Unmet extends Error {
  readonly expected: string;
  readonly seen: string;

  constructor(expected: string, seen: string) {
    super(`expected ${expected}, but ${seen}`);
    this.name = 'Unmet';
    this.expected = expected;
    this.seen = seen;
  }
}

/** The client does not do this, or these servers do not allow it to be tried. */
export class NotApplicable extends Error {
  override readonly name = 'NotApplicable';
}

/** Compares as JSON, with properties in the order given. */
export function expectSame(what: string, { seen, expected }: { seen: unknown; expected: unknown }): void {
  const [a, b] = [JSON.stringify(seen), JSON.stringify(expected)];
  if (a !== b) throw new Unmet(`${what}: ${shortened(b)}`, `it was ${shortened(a)}`);
}

function shortened(text = 'undefined'): string {
  return text.length <= 400 ? text : `${text.slice(0, 400)}… (${text.length} characters)`;
}

const PATIENCE_MS = 15_000;
const LOOK_EVERY_MS = 25;

/** Looks until something is there. @throws Unmet when it does not come. */
export async function eventually<T>(
  expected: string,
  look: () => Promise<T | undefined | false>,
  { seen, withinMs = PATIENCE_MS }: { seen: () => string | Promise<string>; withinMs?: number },
): Promise<T> {
  const until = performance.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > until) throw new Unmet(`${expected} within ${withinMs / 1_000} s`, await seen());
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
