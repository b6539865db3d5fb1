/** 12,345 in any locale. */
export function countText(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** `1 stream`, `2 streams`. */
export function counted(value: number, what: string): string {
  return `${countText(value)} ${what}${value === 1 ? '' : 's'}`;
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const;

/** A duration to about two digits: `350 ms`, `1.5 s`, `12 min`, `3 h`. */
export function durationText(ms: number): string {
  // What would be rounded to 60 s is 1 min.
  for (const [unit, size] of UNITS)
    if (ms >= size * 0.995)
      return `${(ms / size).toFixed(ms < 10 * size ? 1 : 0).replace(/\.0$/, '')} ${unit}`;
  return `${Math.round(ms)} ms`;
}

/** As `nats` takes a duration: `30s`, `24h`. */
export function durationFlag(ms: number): string {
  if (ms >= 3_600_000 && ms % 3_600_000 === 0) return `${ms / 3_600_000}h`;
  return ms % 1_000 === 0 ? `${ms / 1_000}s` : `${Math.round(ms)}ms`;
}

/** `512 bytes`, `12 MiB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1_024) return `${bytes} bytes`;
  const power = Math.min(4, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 2 ** (10 * power);
  return `${value.toFixed(value < 10 ? 1 : 0).replace(/\.0$/, '')} ${['bytes', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`;
}

/** `87 %`. */
export function shareText(share: number): string {
  return `${Math.floor(share * 100)} %`;
}
