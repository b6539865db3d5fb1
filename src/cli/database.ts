import { PostcommitError } from '../errors.ts';
import { missingMigrations } from '../migrate/pending.ts';
import { READ_SETTINGS } from '../outbox/read.ts';
import { assertPrimary } from '../outbox/suitability.ts';
import { openSession, type Session } from '../postgres/session.ts';

/**
 * A session for a command that works on the schema. @throws PostcommitError `database-unreachable`,
 * `database-unsuitable`, `migration-missing`.
 */
export async function openMigratedDatabase(url: string, name: string): Promise<Session> {
  const session = await openSession({ url, name, settings: READ_SETTINGS });
  try {
    await assertPrimary(session, url);
    const missing = await missingMigrations(session);
    if (missing.length === 0) return session;
    throw new PostcommitError(
      'migration-missing',
      `the database lacks the migrations ${missing.join(', ')}`,
      'Run `postcommit migrate` as the role that owns the schema.',
    );
  } catch (error) {
    await session.close();
    throw error;
  }
}
