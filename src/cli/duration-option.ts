import { InvalidArgumentError } from 'commander';
import { parseDuration } from '../daemon/values.ts';

/** As `durationOption`, from 100 ms to ten years: less would stand for no limit elsewhere. */
export function boundedDurationOption(value: string): number {
  const ms = durationOption(value);
  if (ms >= 100 && ms <= 3_650 * 86_400_000) return ms;
  throw new InvalidArgumentError('Expected a duration from 100ms to 3650d.');
}

/** Milliseconds of a flag like `10s`. */
export function durationOption(value: string): number {
  const ms = parseDuration(value);
  if (ms === undefined) throw new InvalidArgumentError('Expected a duration like 500ms, 10s or 2m.');
  return ms;
}
