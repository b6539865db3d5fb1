const UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
] as const;

/** `340 ms`, `12 s`, `5 min`, `3 h`, `2 d`. */
export function durationWords(ms: number): string {
  const unit = UNITS.find(([size]) => ms >= 2 * size) ?? (ms >= 1_000 ? ([1_000, 's'] as const) : undefined);
  if (unit === undefined) return `${Math.round(ms)} ms`;
  return `${Math.round(ms / unit[0])} ${unit[1]}`;
}

/** `512 B`, `1.4 MiB`. */
export function byteWords(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 2 ** (10 * power);
  return `${value < 10 && power > 0 ? value.toFixed(1) : Math.round(value)} ${units[power]}`;
}

/** `1,234`. */
export function countWords(count: number): string {
  return count.toLocaleString('en');
}

/** `1 event`, `2 events`. */
export function plural(count: number, word: string): string {
  return `${countWords(count)} ${word}${count === 1 ? '' : 's'}`;
}

/** Rows with their columns in line; the last one is not padded. */
export function inColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows.reduce<number[]>(
    (most, row) => row.map((cell, i) => Math.max(cell.length, most[i] ?? 0)),
    [],
  );
  return rows.map((row) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}
