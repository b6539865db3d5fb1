/** Colours where they are wanted, and nothing but the text elsewhere. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  warn(text: string): string;
}

export function createStyle(colored: boolean): Style {
  const paint = (code: number) => (text: string) => (colored ? `\u001b[${code}m${text}\u001b[0m` : text);
  return { bold: paint(1), dim: paint(2), good: paint(32), bad: paint(31), warn: paint(33) };
}

/** 12,345 in any locale. */
export function grouped(value: number): string {
  return value.toLocaleString('en-US');
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(ms < 1_000 ? 2 : 1)} s`;
}

/** Cuts a line to what fits, colours not counted. Every character used here is one column wide. */
export function cutTo(line: string, columns: number): string {
  let width = 0;
  let cut = '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is how a colour begins.
  for (const [part] of line.matchAll(/\u001b\[[0-9;]*m|./gu)) {
    const isColor = part.startsWith('\u001b');
    if (isColor || width < columns) cut += part;
    if (!isColor) width++;
  }
  return cut;
}
