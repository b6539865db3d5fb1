/** Microseconds of a clock that all processes of this host share and nobody sets. */
export function monotonicMicros(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}

/**
 * What to subtract from microseconds since 1970 to have those of `monotonicMicros`. `Date.now()` shows milliseconds: it is
 * watched until it turns.
 */
export function wallClockOffsetMicros(): number {
  const before = Date.now();
  let now = before;
  while (now === before) now = Date.now();
  return now * 1_000 - monotonicMicros();
}
