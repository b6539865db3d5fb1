import pg from 'pg';
import { withLiterals } from './literals.ts';

/**
 * Behind a transaction pooler a session is only a name: each transaction may run on another backend, whose settings
 * are whatever its last user left. So every statement carries its own: BEGIN, the settings (local to the transaction),
 * the statement and COMMIT go out as one burst with one Sync. The server ends the transaction without hearing from us
 * again: a relay that freezes in between holds no lock of it, as with a statement of its own in a direct session.
 */
export interface Carrier {
  query(config: pg.QueryArrayConfig): Promise<readonly (string | null)[][]>;
  /** A text without parameters, with all that it needs around it. To be asked for when it is about to be sent. */
  textOf(statement: string): string;
}

interface Part {
  readonly text: string;
  readonly values?: readonly unknown[];
}

/** A writer may have left REPEATABLE READ as its session's default; every guarantee here wants READ COMMITTED. */
const BEGIN: Part = { text: 'begin isolation level read committed' };
const COMMIT: Part = { text: 'commit' };
const ROLLBACK: Part = { text: 'rollback' };

/**
 * What every transaction needs besides: no time limit that another user of the backend left behind, and a short one for
 * our own BEGIN ... COMMIT sequences, since nobody terminates the backend of a leader that froze in one.
 */
const POOLED_SETTINGS = { lock_timeout: '0', idle_in_transaction_session_timeout: '3s' };

/**
 * A text that changes when the server has recovered from a crash, and differs between a primary and its standby: what it
 * counts is lost then, and it says since when it counts. A clean restart keeps it.
 */
export const INCARNATION =
  "(select coalesce(stats_reset::pg_catalog.text, '') from pg_catalog.pg_stat_bgwriter)";

export interface Carried {
  readonly settings: Readonly<Record<string, string>>;
  /** `INCARNATION` when the session was opened. */
  readonly incarnation: string;
}

/**
 * Statements of one client, each a transaction with these settings; `begin` to `commit` or `rollback` is one, too.
 *
 * A crash or a failover ends a session, and with it all that was concluded from what it had read. A pooler hides both: it
 * keeps a statement until a server is there. So each transaction first makes sure that the server is still the one that the
 * session was opened on, and fails otherwise (G2: a plan makes durable what its read saw, unless a crash lies between them).
 */
export function carrySettings(client: pg.Client, { settings, incarnation }: Carried): Carrier {
  const carried = openingPart({ ...settings, ...POOLED_SETTINGS }, incarnation);
  /** The open transaction was begun by the caller, not by the burst of a statement that failed. */
  let begun = false;

  function burst(statement: Part): readonly Part[] | string {
    const idle = client.getTransactionStatus() === 'I';
    if (!idle && begun) return [statement];
    begun = BEGINS.test(statement.text);
    const opening = idle ? [BEGIN, carried] : [ROLLBACK, BEGIN, carried];
    if (!begun) return [...opening, statement, COMMIT];
    const [, rest] = WHOLE_TRANSACTION.exec(statement.text) ?? [];
    return rest === undefined ? opening : [...opening.map(inOneText), rest].join('; ');
  }

  return {
    query: (config) =>
      new Promise((resolve, reject) => {
        const statement: Part = { text: config.text, values: config.values ?? [] };
        let parts: readonly Part[] | string = [];
        const query = Object.assign(new pg.Query(config), {
          submit(connection: pg.Connection) {
            parts = burst(statement); // Only now is the transaction of the statement before it known to be over.
            if (typeof parts === 'string') connection.query(parts);
            else send(connection as unknown as Wire, parts);
            return null;
          },
          callback(error: Error | null, results: Rows | Rows[]) {
            if (error) return reject(error);
            const own = Array.isArray(results) ? results[indexOf(parts, statement)] : results;
            resolve(own?.rows ?? []);
          },
        });
        client.query(query);
      }),
    textOf(text) {
      const parts = burst({ text });
      return typeof parts === 'string' ? parts : parts.map(inOneText).join('; ');
    },
  };
}

const BEGINS = /^\s*(begin|start\s+transaction)\b/i;
/** A transaction sent as one text: nothing of it is left when the message has been worked off. */
const WHOLE_TRANSACTION = /^[^;]*;(.*\S.*)$/s;

function indexOf(parts: readonly Part[] | string, statement: Part): number {
  return typeof parts === 'string' ? -1 : parts.indexOf(statement);
}

function inOneText({ text, values }: Part): string {
  if (values === undefined) return text; // Dollars in it are its own.
  return withLiterals(text, values);
}

interface Rows {
  readonly rows: (string | null)[][];
}

/** Settings of the socket are those of the pooler's own connection, and none of ours. */
function openingPart(settings: Readonly<Record<string, string>>, incarnation: string): Part {
  const entries = Object.entries(settings).filter(([name]) => !name.startsWith('tcp_'));
  // With all schemas: until this is over, the search_path is that of the backend's last user.
  const calls = entries.map((_, i) => `pg_catalog.set_config($${2 * i + 2}, $${2 * i + 3}, true)`);
  // A text that is no boolean is an error with the text in it.
  const guard = `case when ${INCARNATION} operator(pg_catalog.<>) $1
    then pg_catalog.concat('${RESTARTED} at ', ${INCARNATION})::boolean end`;
  return { text: `select ${[guard, ...calls].join(', ')}`, values: [incarnation, ...entries.flat()] };
}

/** The guard has failed: nothing that the session has read can be relied on any more. */
export function isOtherServer(error: unknown): boolean {
  return error instanceof Error && error.message.includes(RESTARTED);
}

const RESTARTED = 'the database behind the pooler has crashed, or another one has taken its place,';

/** pg's connection as `pg.Query` itself uses it; its published types are older. */
interface Wire {
  readonly stream: { cork(): void; uncork(): void };
  parse(statement: { text: string }): void;
  bind(values: { values: readonly unknown[]; valueMapper: (value: unknown) => unknown }): void;
  describe(portal: { type: 'P'; name: string }): void;
  execute(portal: object): void;
  sync(): void;
}

function send(connection: Wire, parts: readonly Part[]): void {
  connection.stream.cork();
  try {
    for (const { text, values = [] } of parts) {
      connection.parse({ text });
      connection.bind({ values, valueMapper: prepareValue });
      connection.describe({ type: 'P', name: '' });
      connection.execute({});
    }
    connection.sync();
  } finally {
    connection.stream.uncork();
  }
}

/** Numbers, dates and arrays as `client.query` writes them. */
const { prepareValue } = (pg as unknown as { utils: { prepareValue: (value: unknown) => unknown } }).utils;
