import { type Command, Option } from 'commander';
import { loadDatabaseConfig } from '../daemon/config.ts';
import { messageOf, PostcommitError } from '../errors.ts';
import { type Session, sqlState } from '../postgres/session.ts';
import type { LeaderAnswer } from '../requests/ask-leader.ts';
import type { CliContext } from './context.ts';
import { openMigratedDatabase } from './database.ts';
import { durationOption } from './duration-option.ts';
import { configSources } from './setting-options.ts';

export function noAnswer({ request }: Pick<LeaderAnswer, 'request'>): string {
  return `No relay has answered request ${request} yet. It stays, and is taken up by the next one that leads.`;
}

export function waitOption(): Option {
  return new Option('--wait <duration>', 'how long to wait for the answer of the relay')
    .argParser(durationOption)
    .default(30_000, '30s');
}

/** Runs an operator's command on its database; what the role may not do is named with where to find the grants. */
export async function withOperatorSession<T>(
  command: Command,
  context: CliContext,
  run: (session: Session) => Promise<T>,
): Promise<T> {
  const { databaseUrl } = loadDatabaseConfig(configSources(command, context));
  const session = await openMigratedDatabase(databaseUrl(), `postcommit ${command.name()}`);
  try {
    return await run(session);
  } catch (error) {
    throw sqlState(error) === '42501' ? mayNot(error) : error;
  } finally {
    await session.close();
  }
}

function mayNot(error: unknown): PostcommitError {
  return new PostcommitError(
    'database-unsuitable',
    `the role may not do this: ${messageOf(error)}`,
    'Grant it what docs/roles-and-privileges.md lists for an operator; to look is enough with SELECT.',
    { cause: error },
  );
}
