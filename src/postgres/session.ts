import pg from 'pg';
import { messageOf, PostcommitError } from '../errors.ts';
import { sleep } from '../lifecycle/abort.ts';
import { carrySettings, INCARNATION, isOtherServer } from './carried-settings.ts';
import { type OnRow, readTextRows } from './columns.ts';
import { connectFailureOf } from './connect-failure.ts';
import { copyOut, copyText } from './copy-out.ts';
import { serverErrorOf } from './server-error.ts';

export interface SessionOptions {
  readonly url: string;
  /** Shown in pg_stat_activity. */
  readonly name: string;
  /** Run-time parameters of the session; behind a pooler, of every statement. */
  readonly settings?: Readonly<Record<string, string>>;
  /** It is known to go through a pooler, whatever the connection looks like. Default: found out. */
  readonly pooled?: boolean;
  /** Milliseconds. Default 5,000. */
  readonly connectTimeoutMs?: number;
  /** A statement that takes longer on this side ends the session: a black-holed socket answers nothing. Default 30,000. */
  readonly queryTimeoutMs?: number;
  /** Asked every few seconds while a statement takes long: true gives it that time anew. Default: never. */
  readonly mayTakeLonger?: (backend: Backend) => Promise<boolean>;
}

/** Whose statement it is, as `pg_stat_activity` shows it. */
export interface Backend {
  /** Null behind a pooler: any backend may run it. */
  readonly pid: number | null;
  readonly name: string;
}

export interface Statement {
  readonly text: string;
  readonly values?: readonly unknown[];
  /** Prepares the statement once per session under this name (never behind a pooler, which may not know it there). */
  readonly name?: string;
}

export interface ReadOptions {
  readonly many: boolean;
  readonly onRow: OnRow;
}

/** A row in PostgreSQL's text form: the relay decides per column what to decode. */
export type TextRow = readonly (string | null)[];

/**
 * One connection to PostgreSQL. Statements run in the order of the calls. After a failure it is useless for ever: open another one.
 *
 * Behind a transaction pooler (`pooled`) it has no state: every statement is a transaction with the settings of its own,
 * and so is what lies between `begin` and `commit` or `rollback`. No lock of a session, no prepared statement and no
 * LISTEN outlives its statement there.
 */
export interface Session {
  /** Its backend is not its own. A session pooler is taken for one as well: nothing tells the two apart for certain. */
  readonly pooled: boolean;
  /** The backend at the other end, as the greeting named it; null behind a pooler. */
  readonly backendPid: number | null;
  query(statement: Statement): Promise<readonly TextRow[]>;
  /** As `query`, but a WARNING is a failure too: a commit whose wait for a standby was cancelled only warns. */
  queryStrictly(statement: Statement): Promise<readonly TextRow[]>;
  /**
   * Column by column, the same whichever way they come. `many` rows come cheaper by COPY, a few by a prepared SELECT; its
   * parameters need casts, and `bytea_output` must be `hex`. An error of the callback ends the session.
   */
  read(statement: Statement, options: ReadOptions): Promise<void>;
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
  const settings = { ...SEARCH_PATH, ...options.settings };
  try {
    await client.connect();
    const found = await withinTime(settleIn(client, settings), options.queryTimeoutMs);
    const pooled = options.pooled === true || !found.own;
    return toSession(client, { state, options, settings, pooled, incarnation: found.incarnation });
  } catch (error) {
    await endQuietly(client);
    throw unreachable(options.url, error);
  }
}

const QUERY_TIMEOUT_MS = 30_000;

/** Nothing that others have made in a schema of theirs is taken for what a statement names without one. */
const SEARCH_PATH = { search_path: 'pg_catalog' };

function createClient({ url, name, connectTimeoutMs = 5_000 }: SessionOptions): pg.Client {
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

/**
 * Makes settings the session's own, unless the backend is not: a pooler greets with a key of its own making, never with
 * the process id of the backend that will answer. Then they last no longer than this statement.
 */
async function settleIn(
  client: pg.Client,
  settings: Readonly<Record<string, string>>,
): Promise<{ readonly own: boolean; readonly incarnation: string }> {
  const entries = Object.entries(settings);
  // With all schemas: until this is over, the search_path is whatever the role's is.
  const foreign =
    'not coalesce(pg_catalog.pg_backend_pid() operator(pg_catalog.=) $1::pg_catalog.int4, false)';
  const calls = entries.map((_, i) => `pg_catalog.set_config($${2 * i + 2}, $${2 * i + 3}, ${foreign})`);
  const { rows } = await client.query<[boolean, string]>({
    text: `select ${[foreign, INCARNATION, ...calls].join(', ')}`,
    values: [greetedBy(client), ...entries.flat()],
    rowMode: 'array',
  });
  return { own: rows[0]?.[0] === false, incarnation: rows[0]?.[1] ?? '' };
}

function greetedBy(client: pg.Client): number | null {
  return (client as unknown as { processID: number | null }).processID;
}

interface SessionParts {
  readonly state: FailureState;
  readonly options: SessionOptions;
  readonly settings: Readonly<Record<string, string>>;
  readonly pooled: boolean;
  readonly incarnation: string;
}

function toSession(client: pg.Client, parts: SessionParts): Session {
  const { state, options, settings, pooled, incarnation } = parts;
  const { name: application, queryTimeoutMs = QUERY_TIMEOUT_MS, mayTakeLonger } = options;
  const backendPid = pooled ? null : greetedBy(client);
  const carrying = pooled ? carrySettings(client, { settings, incarnation }) : undefined;
  const send = async ({ text, values, name }: Statement): Promise<readonly TextRow[]> => {
    const config = {
      text,
      ...(values === undefined ? {} : { values: [...values] }),
      ...(name === undefined || pooled ? {} : { name }),
      rowMode: 'array' as const,
      types: TEXT_ONLY,
    };
    if (carrying !== undefined) return carrying.query(config);
    return (await client.query<(string | null)[]>(config)).rows;
  };
  const read = async (statement: Statement, { many, onRow }: ReadOptions): Promise<void> => {
    if (!many) return readTextRows(await send(statement), onRow);
    const text = copyText(statement);
    return copyOut(client, { textOf: () => carrying?.textOf(text) ?? text, onRow });
  };
  const inTurn = createTurns();
  const mayGoOn = mayTakeLonger && (() => mayTakeLonger({ pid: backendPid, name: application }));
  const run = async <Answer>(ask: () => Promise<Answer>): Promise<Answer> => {
    if (state.failed) throw new Error('the session has failed before');
    try {
      return await withinTime(ask(), queryTimeoutMs, mayGoOn);
    } catch (error) {
      // No SQLSTATE: not the server's answer but a lost socket or our own time limit, after which pg's client is wedged.
      if (sqlState(error) === undefined || isOtherServer(error))
        state.fail(error instanceof Error ? error : new Error(messageOf(error)));
      throw error;
    }
  };
  const runStrictly = async (statement: Statement): Promise<readonly TextRow[]> => {
    state.warning = undefined;
    const rows = await run(() => send(statement));
    if (state.warning !== undefined) throw new Error(`the database warned: ${state.warning}`);
    return rows;
  };
  return {
    pooled,
    backendPid,
    query: (statement) => inTurn(() => run(() => send(statement))),
    read: (statement, options) => inTurn(() => run(() => read(statement, options))),
    queryStrictly: (statement) => inTurn(() => runStrictly(statement)),
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

/** One statement after the other: pg is giving up a queue of its own. */
function createTurns() {
  let last: Promise<void> | undefined;
  return <T>(send: () => Promise<T>): Promise<T> => {
    const turn = last === undefined ? send() : last.then(send);
    const over = () => {
      if (last === ended) last = undefined;
    };
    const ended = turn.then(over, over);
    last = ended;
    return turn;
  };
}

const ASK_EVERY_MS = 5_000;

/** What is not answered in time fails. While `mayGoOn` says yes, its time begins anew. */
function withinTime<T>(
  answer: Promise<T>,
  ms = QUERY_TIMEOUT_MS,
  mayGoOn?: () => Promise<boolean>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let startedAtMs = performance.now();
    const late = () => reject(new Error(`the database did not answer within ${ms} ms`));
    const decide = (goesOn: boolean) => {
      if (goesOn) startedAtMs = performance.now();
      if (performance.now() - startedAtMs < ms) timer.refresh();
      else late();
    };
    const ask = () => void mayGoOn?.().then(decide, () => decide(false));
    const timer = mayGoOn === undefined ? setTimeout(late, ms) : setTimeout(ask, Math.min(ms, ASK_EVERY_MS));
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
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

/** What to tell a person whose database could not be reached, or was lost while the first things were asked of it. */
export function unreachable(url: string, error: unknown): PostcommitError {
  if (error instanceof PostcommitError) return error;
  const { host, database } = describeUrl(url);
  const { reason, hint } = connectFailureOf(error);
  return new PostcommitError(
    'database-unreachable',
    `cannot connect to PostgreSQL at ${host}, database ${database}: ${reason}`,
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
