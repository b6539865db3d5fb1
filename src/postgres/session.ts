import pg from 'pg';
import { messageOf, PostcommitError } from '../errors.ts';
import { sleep } from '../lifecycle/abort.ts';
import { serverErrorOf } from './server-error.ts';

export interface SessionOptions {
  readonly url: string;
  /** Shown in pg_stat_activity. */
  readonly name: string;
  /** Run-time parameters of the session, set right after the connection stands. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Milliseconds. Default 5,000. */
  readonly connectTimeoutMs?: number;
  /** A statement that takes longer on this side ends the session: a black-holed socket answers nothing. Default 30,000. */
  readonly queryTimeoutMs?: number;
}

export interface Statement {
  readonly text: string;
  readonly values?: readonly unknown[];
  /** Prepares the statement once per session under this name. */
  readonly name?: string;
}

/** A row in PostgreSQL's text form: the relay decides per column what to decode. */
export type TextRow = readonly (string | null)[];

/** One direct connection to PostgreSQL; statements run in the order of the calls. After a failure it is useless for ever: open another one. */
export interface Session {
  query(statement: Statement): Promise<readonly TextRow[]>;
  /** As `query`, but a WARNING is a failure too: a commit whose wait for a standby was cancelled only warns. */
  queryStrictly(statement: Statement): Promise<readonly TextRow[]>;
  readonly failed: boolean;
  /** Calls the listener once, when the connection is lost. */
  onFailure(listener: (error: Error) => void): void;
  close(): Promise<void>;
  /** Cuts the connection off: what is under way fails now, not when its time limit is over. */
  destroy(): void;
}

/** Rows stay text; decoding payloads and dates of a whole batch here would cost more than publishing them. */
const TEXT_ONLY = { getTypeParser: () => (text: string | Buffer) => text } as pg.CustomTypesConfig;

/** @throws PostcommitError `config-invalid` for an URL that is none, `database-unreachable` if no connection comes about. */
export async function openSession(options: SessionOptions): Promise<Session> {
  const client = createClient(options);
  const state = watchFailure(client);
  try {
    await client.connect();
    await applySettings(client, options.settings ?? {});
  } catch (error) {
    await endQuietly(client);
    throw unreachable(options.url, error);
  }
  return toSession(client, state);
}

function createClient({
  url,
  name,
  connectTimeoutMs = 5_000,
  queryTimeoutMs = 30_000,
}: SessionOptions): pg.Client {
  if (!/^postgres(ql)?:\/\//.test(url)) {
    throw new PostcommitError(
      'config-invalid',
      'the database URL does not begin with postgres:// or postgresql://',
      'Set DATABASE_URL to something like postgres://user:password@host:5432/database.',
    );
  }
  try {
    return new pg.Client({
      connectionString: url,
      application_name: name,
      connectionTimeoutMillis: connectTimeoutMs,
      query_timeout: queryTimeoutMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: 5_000,
    });
  } catch (error) {
    throw new PostcommitError(
      'config-invalid',
      `the database URL cannot be used (${error instanceof TypeError ? 'it is malformed' : messageOf(error)})`,
      'Percent-encode special characters of user and password, and check sslmode and the certificate files.',
    );
  }
}

interface FailureState {
  failed: boolean;
  warning: string | undefined;
  listeners: ((error: Error) => void)[];
  fail(error: Error): void;
}

function watchFailure(client: pg.Client): FailureState {
  const state: FailureState = {
    failed: false,
    warning: undefined,
    listeners: [],
    fail(error) {
      if (state.failed) return;
      state.failed = true;
      for (const listener of state.listeners) listener(error);
    },
  };
  client.on('error', (error) => state.fail(error));
  client.on('end', () => state.fail(new Error('the database closed the connection')));
  client.on('notice', (notice) => {
    if (notice.severity === 'WARNING') state.warning = notice.message;
  });
  return state;
}

async function applySettings(client: pg.Client, settings: Readonly<Record<string, string>>): Promise<void> {
  const entries = Object.entries(settings);
  if (entries.length === 0) return;
  const calls = entries.map((_, i) => `set_config($${2 * i + 1}, $${2 * i + 2}, false)`);
  await client.query(`select ${calls.join(', ')}`, entries.flat());
}

function toSession(client: pg.Client, state: FailureState): Session {
  // Several parts of the relay share a session: a statement's time limit begins when it is its turn.
  let turn: Promise<unknown> = Promise.resolve();
  const query = (statement: Statement): Promise<readonly TextRow[]> => {
    const answer = turn.then(() => run(statement));
    turn = answer.catch(() => undefined);
    return answer;
  };
  const run = async ({ text, values, name }: Statement): Promise<readonly TextRow[]> => {
    if (state.failed) throw new Error('the session has failed before');
    try {
      const result = await client.query<(string | null)[]>({
        text,
        ...(values === undefined ? {} : { values: [...values] }),
        ...(name === undefined ? {} : { name }),
        rowMode: 'array',
        types: TEXT_ONLY,
      });
      return result.rows;
    } catch (error) {
      // No SQLSTATE: not the server's answer but a lost socket or our own time limit, after which pg's client is wedged.
      if (sqlState(error) === undefined)
        state.fail(error instanceof Error ? error : new Error(messageOf(error)));
      throw error;
    }
  };
  return {
    query,
    queryStrictly(statement) {
      const answer = turn.then(async () => {
        state.warning = undefined;
        const rows = await run(statement);
        if (state.warning !== undefined) throw new Error(`the database warned: ${state.warning}`);
        return rows;
      });
      turn = answer.catch(() => undefined);
      return answer;
    },
    get failed() {
      return state.failed;
    },
    onFailure(listener) {
      state.listeners.push(listener);
    },
    close: () => endQuietly(client),
    destroy: () => cutOff(client),
  };
}

/** How long the server may take to close its side. */
const END_PATIENCE_MS = 1_000;

/** Behind a network that swallows everything, the server never answers a goodbye. */
async function endQuietly(client: pg.Client): Promise<void> {
  const ended = new AbortController();
  const patience = sleep(END_PATIENCE_MS, ended.signal).then(() => cutOff(client));
  try {
    await Promise.race([client.end(), patience]);
  } catch {
    // It was gone already.
  } finally {
    ended.abort();
  }
}

function cutOff(client: pg.Client): void {
  client.connection.stream.destroy();
}

/** The SQLSTATE of a server error, undefined for anything else. */
export function sqlState(error: unknown): string | undefined {
  return serverErrorOf(error)?.code;
}

function unreachable(url: string, error: unknown): PostcommitError {
  if (error instanceof PostcommitError) return error;
  const { host, database } = describeUrl(url);
  const state = sqlState(error);
  const hint =
    state === '28P01' || state === '28000'
      ? 'Check user, password and pg_hba.conf of the server.'
      : state === '3D000'
        ? 'Create the database, or correct its name in DATABASE_URL.'
        : 'Check that the server runs and that DATABASE_URL names the right host, port and TLS mode.';
  return new PostcommitError(
    'database-unreachable',
    `cannot connect to PostgreSQL at ${host}, database ${database}: ${messageOf(error)}`,
    hint,
    { cause: error },
  );
}

/** Host and database of a URL, for messages: never user or password. */
export function describeUrl(url: string): { host: string; database: string } {
  try {
    const parsed = new URL(url);
    const host = parsed.searchParams.get('host') ?? parsed.host;
    return {
      host: host === '' ? 'the default socket' : host,
      database: decodeURIComponent(parsed.pathname.slice(1)),
    };
  } catch {
    return { host: 'an unreadable host', database: 'unknown' };
  }
}
