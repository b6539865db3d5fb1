import { readFileSync } from 'node:fs';

interface Journal {
  readonly entries: readonly { readonly tag: string }[];
}

const journal = new URL('../../migrations/meta/_journal.json', import.meta.url);

/** The names of all migrations, oldest first. */
export const MIGRATIONS: readonly string[] = (
  JSON.parse(readFileSync(journal, 'utf8')) as Journal
).entries.map(({ tag }) => tag);
