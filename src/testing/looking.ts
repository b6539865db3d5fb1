import { sleep } from '../lifecycle/abort.ts';

/** What one look at something brought. */
export type Look<Value> =
  | { readonly kind: 'seen'; readonly value: Value }
  | { readonly kind: 'threw'; readonly error: unknown }
  | { readonly kind: 'unanswered' };

export interface Looking {
  readonly timeoutMs: number;
  /** Pause between two looks. */
  readonly everyMs: number;
}

/** Looks until something truthy is seen, or the time is over; resolves to the last look. */
export async function keepLooking<Value>(
  condition: () => Value | Promise<Value>,
  { timeoutMs, everyMs }: Looking,
): Promise<Look<Value>> {
  const endsAtMs = performance.now() + timeoutMs;
  const leftMs = () => Math.max(0, endsAtMs - performance.now());
  for (;;) {
    const last = await lookOnce(condition, leftMs());
    if (leftMs() === 0 || isFound(last)) return last;
    await sleep(Math.min(everyMs, leftMs()));
  }
}

/** Something truthy was seen. */
export function isFound<Value>(look: Look<Value>): look is Look<Value> & { readonly kind: 'seen' } {
  const seen: unknown = look.kind === 'seen' && look.value;
  return Boolean(seen);
}

/** One that never ends, at a server that does not answer, must not keep the test from saying so. */
export async function lookOnce<Value>(
  condition: () => Value | Promise<Value>,
  timeoutMs: number,
): Promise<Look<Value>> {
  const over = new AbortController();
  const unanswered = sleep(timeoutMs, over.signal).then(() => ({ kind: 'unanswered' }) as const);
  try {
    return await Promise.race([caught(condition), unanswered]);
  } finally {
    over.abort();
  }
}

async function caught<Value>(condition: () => Value | Promise<Value>): Promise<Look<Value>> {
  try {
    return { kind: 'seen', value: await condition() };
  } catch (error) {
    return { kind: 'threw', error };
  }
}
