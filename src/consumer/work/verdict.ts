import { Reject, Retry } from '../errors.ts';
import type { ConsumerSettings } from '../options.ts';

/** What to do about an event whose handler failed. */
export type Verdict = { readonly kind: 'retry'; readonly delayMs: number } | { readonly kind: 'give-up' };

/** `attempts`: failed ones, this one among them. */
export function judgeFailure(
  error: unknown,
  attempts: number,
  { maxAttempts, backoff }: Pick<ConsumerSettings, 'maxAttempts' | 'backoff'>,
): Verdict {
  if (error instanceof Reject || attempts >= maxAttempts) return { kind: 'give-up' };
  if (error instanceof Retry) return { kind: 'retry', delayMs: error.delayMs };
  return { kind: 'retry', delayMs: delayAfter(attempts, backoff) };
}

/** Doubles with each attempt and is spread over its upper half, so that many events do not come back in step. */
export function delayAfter(attempts: number, { firstMs, maxMs }: ConsumerSettings['backoff']): number {
  const ceiling = Math.min(firstMs * 2 ** Math.min(attempts - 1, 30), maxMs);
  return ceiling / 2 + (Math.random() * ceiling) / 2;
}
