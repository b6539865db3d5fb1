/** A word of a command line. Names that others chose must not become commands where a fix is pasted. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A text in SQL, quotes included. */
export function sqlText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A name in SQL, quotes included. */
export function sqlName(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}
