/** True when a subscription to `pattern` receives what is published on `subject` (a subject without wildcards). */
export function subjectMatches(pattern: string, subject: string): boolean {
  return covers(pattern.split('.'), subject.split('.'));
}

/** As `subjectMatches` for any of the patterns, prepared for being asked once an event: most end in `.>` after fixed tokens. */
export function createSubjectFilter(patterns: readonly string[]): (subject: string) => boolean {
  const prefixes = patterns
    .filter((pattern) => /^[^*>]+\.>$/.test(pattern))
    .map((pattern) => pattern.slice(0, -1));
  return (subject) =>
    prefixes.some((prefix) => subject.length > prefix.length && subject.startsWith(prefix)) ||
    patterns.some((pattern) => subjectMatches(pattern, subject));
}

/** True when `wide` matches every subject that `narrow` matches. */
export function patternCovers(wide: string, narrow: string): boolean {
  return covers(wide.split('.'), narrow.split('.'));
}

/**
 * True when the patterns together match every subject that `narrow` matches, also where no single one does:
 * `a.*` and `a.*.>` are all of `a.>`.
 */
export function patternsCover(wide: readonly string[], narrow: string): boolean {
  const patterns = wide.map((pattern) => pattern.split('.'));
  const tokens = narrow.split('.');
  if (tokens.at(-1) !== '>') return patterns.some((pattern) => covers(pattern, tokens));
  // `x.>` is `x.*`, `x.*.*`, … Subjects of one length are covered together only if one pattern covers them all,
  // and beyond the longest pattern only patterns that end in `>` count, so one more length speaks for the rest.
  const longest = Math.max(tokens.length, ...patterns.map((pattern) => pattern.length));
  for (let length = tokens.length; length <= longest + 1; length++) {
    const ofLength = [...tokens.slice(0, -1), ...Array<string>(length - tokens.length + 1).fill('*')];
    if (!patterns.some((pattern) => covers(pattern, ofLength))) return false;
  }
  return true;
}

function covers(wide: readonly string[], narrow: readonly string[]): boolean {
  for (let i = 0; i < wide.length; i++) {
    if (wide[i] === '>' && i === wide.length - 1) return narrow.length > i;
    if (i >= narrow.length || (narrow[i] === '>' && i === narrow.length - 1)) return false;
    if (wide[i] !== '*' && wide[i] !== narrow[i]) return false;
  }
  return wide.length === narrow.length;
}

/** Why a stream cannot capture this pattern for the relay; undefined when it can. */
export function checkSubjectPattern(text: string): string | undefined {
  if (text === '') return 'a subject must not be empty';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
  if (/[\s\u0000-\u001f\u007f]/.test(text)) return `'${text}' contains a blank or a control character`;
  if (text.startsWith('$')) return `'${text}' begins with '$', which is the server's own`;
  const tokens = text.split('.');
  if (tokens.includes('')) return `'${text}' has an empty token (two dots, or one at either end)`;
  if (tokens.slice(0, -1).includes('>')) return `in '${text}' the wildcard '>' is not the last token`;
  const mixed = tokens.find((token) => token.length > 1 && /[*>]/.test(token));
  if (mixed !== undefined) return `in '${text}' a wildcard is only a part of the token '${mixed}'`;
  return undefined;
}
