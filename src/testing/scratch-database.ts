import { randomBytes } from 'node:crypto';
import { PostcommitError } from '../errors.ts';
import { migrate } from '../migrate/index.ts';
import { openSession, sqlState } from '../postgres/session.ts';

/** A database that is thrown away. */
export interface ScratchDatabase extends AsyncDisposable {
  readonly url: string;
}

/** A migrated database that scratch databases are copies of. Nobody may be connected to it. */
export interface TemplateDatabase extends AsyncDisposable {
  copy(): Promise<ScratchDatabase>;
}

export interface TemplateOptions {
  /** Any database of the server, as a role that may create others. */
  readonly server: string;
  /** Makes the caller's own tables. */
  readonly prepare: ((databaseUrl: string) => unknown) | undefined;
}

/** @throws PostcommitError, and whatever `prepare` throws; nothing is left behind then. */
export async function createTemplateDatabase({
  server,
  prepare,
}: TemplateOptions): Promise<TemplateDatabase> {
  const template = await createDatabase(server, 'template1');
  try {
    await migrate({ url: template.url });
    await prepare?.(template.url);
  } catch (error) {
    await template[Symbol.asyncDispose]();
    throw error;
  }
  return {
    copy: () => createDatabase(server, template.name),
    [Symbol.asyncDispose]: () => template[Symbol.asyncDispose](),
  };
}

/** A name that nobody else uses, valid for databases and streams. */
export function scratchName(): string {
  return `postcommit_test_${randomBytes(6).toString('hex')}`;
}

async function createDatabase(
  server: string,
  template: string,
): Promise<ScratchDatabase & { readonly name: string }> {
  const name = scratchName();
  // For somebody who is connected to the template the server itself waits, five seconds at most.
  await runOn(server, `CREATE DATABASE ${name} TEMPLATE ${template}`).catch((error: unknown) => {
    throw explain(error);
  });
  const url = new URL(server);
  url.pathname = `/${name}`;
  return {
    name,
    url: url.href,
    [Symbol.asyncDispose]: () => runOn(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

async function runOn(url: string, text: string): Promise<void> {
  const session = await openSession({ url, name: 'postcommit testing' });
  try {
    await session.query({ text });
  } finally {
    await session.close();
  }
}

const IN_USE = '55006';

function explain(error: unknown): unknown {
  switch (sqlState(error)) {
    case IN_USE:
      return new PostcommitError(
        'database-unsuitable',
        'somebody is connected to the database that scratch databases are copied from',
        'Let `prepare` close what it opens (await pool.end()) before it returns.',
        { cause: error },
      );
    case '42501':
      return new PostcommitError(
        'database-unsuitable',
        'the role of `databaseUrl` may not create databases, and each scratch is one',
        'ALTER ROLE … CREATEDB, or leave `databaseUrl` out to have a server started.',
        { cause: error },
      );
    default:
      return error;
  }
}
