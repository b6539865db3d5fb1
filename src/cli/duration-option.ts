import { InvalidArgumentError } from 'commander';
import { parseDuration } from '../daemon/values.ts';

/** Milliseconds of a flag like `10s`. */
export function durationOption(value: string): number {
  const ms = parseDuration(value);
  if (ms === undefined) throw new InvalidArgumentError('Expected a duration like 500ms, 10s or 2m.');
  return ms;
}
