import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Migration {
  /** The file's name without its ending, for instance `0000_postcommit`. */
  readonly name: string;
  /** SHA-256 of the file in hex: what drizzle-orm's migrator records. */
  readonly hash: string;
  /** The journal's `when` in milliseconds: what drizzle-orm's migrator orders and recognizes migrations by. */
  readonly when: number;
  readonly statements: readonly string[];
}

interface Journal {
  readonly entries: readonly { readonly tag: string; readonly when: number }[];
}

/** The package's `migrations/`, two folders up from here in `src/` as well as in `dist/`. */
export const MIGRATIONS_FOLDER = fileURLToPath(new URL('../../migrations', import.meta.url));

const BREAKPOINT = '--> statement-breakpoint';

/** Reads the layout that drizzle-kit writes, oldest migration first. */
export async function readMigrations(folder: string): Promise<readonly Migration[]> {
  const journal: Journal = JSON.parse(await readFile(join(folder, 'meta', '_journal.json'), 'utf8'));
  return Promise.all(
    journal.entries.map(async ({ tag, when }) => {
      const text = await readFile(join(folder, `${tag}.sql`), 'utf8');
      return {
        name: tag,
        when,
        hash: createHash('sha256').update(text).digest('hex'),
        statements: split(text),
      };
    }),
  );
}

function split(text: string): string[] {
  return text
    .split(BREAKPOINT)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
}
