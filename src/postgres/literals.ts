import pg from 'pg';

/** A statement whose `$1` and so on have their values in the text: for statements that go out together in one. */
export function withLiterals(text: string, values: readonly unknown[]): string {
  return text.replace(/\$(\d+)/g, (_, number) => pg.escapeLiteral(String(values[Number(number) - 1])));
}
