import type { Batch, Ordering } from '../batch-log/batch.ts';
import { lastRows } from '../batch-log/recover.ts';
import { messageOf, PostcommitError } from '../errors.ts';
import {
  type BrokerLink,
  type CloudEventsMode,
  connectBroker,
  type DurablesAnswer,
  listDurables,
  lookUpStream,
  type NatsSettings,
  type StreamLookup,
} from '../jetstream/index.ts';
import { READ_SETTINGS } from '../outbox/read.ts';
import { openSession, type Session } from '../postgres/session.ts';
import { readSource } from '../relay/source.ts';
import { silentLogger } from '../telemetry/logger.ts';

/** One stream of the relay, as it is configured. */
export interface LaneSettings {
  readonly stream: string;
  readonly subjects: readonly string[];
  readonly ordering: Ordering;
}

/** What a relay is started with, and how patient to be. */
export interface DoctorOptions {
  readonly databaseUrl: () => string;
  readonly natsSettings: () => NatsSettings;
  readonly lanes: readonly LaneSettings[];
  readonly provision: boolean;
  readonly source: string | undefined;
  readonly cloudEvents: CloudEventsMode;
  readonly retentionMs: number;
  /** An event that waits longer is late. */
  readonly maxLagMs: number;
  /** A transaction that is open for longer is old. */
  readonly maxTransactionMs: number;
  /** For one check. */
  readonly timeLimitMs: number;
  /** This host's clock, in milliseconds of the Unix epoch. Default `Date.now`. */
  readonly now?: () => number;
}

/** A server, or why it is not there. */
export type Reached<Connection> =
  | { readonly kind: 'reached'; readonly connection: Connection }
  | { readonly kind: 'absent'; readonly error: PostcommitError };

/** What checks look at. Each connection is made, and each question asked, once, when a check first needs it. */
export interface Surroundings extends AsyncDisposable {
  readonly options: DoctorOptions;
  now(): number;
  postgres(): Promise<Reached<Session>>;
  nats(): Promise<Reached<BrokerLink>>;
  /** A stream as it is. */
  stream(link: BrokerLink, name: string): Promise<StreamLookup>;
  durables(link: BrokerLink, stream: string): Promise<DurablesAnswer>;
  /** The newest row of each stream's log. */
  log(session: Session): Promise<readonly Batch[]>;
  /** This outbox's name in messages. */
  source(session: Session): Promise<string>;
}

export const SESSION_NAME = 'postcommit doctor';

/** A lost session is opened again so often; then the server counts as gone. */
const SESSIONS = 3;

export function createSurroundings(options: DoctorOptions): Surroundings {
  const { postgres, close: closeSessions } = createPostgres(options);
  const links: BrokerLink[] = [];
  const nats = once(() =>
    reach(async () => {
      const link = await connectBroker(() => ({ ...options.natsSettings(), name: SESSION_NAME }), {
        logger: silentLogger(),
        firstAttemptTimeoutMs: options.timeLimitMs / 2,
      });
      links.push(link);
      return link;
    }),
  );
  const streams = byKey((link: BrokerLink, name: string) => lookUpStream(link, name));
  const durables = byKey((link: BrokerLink, name: string) => listDurables(link, name));
  return {
    options,
    now: options.now ?? Date.now,
    postgres,
    nats,
    stream: streams,
    durables,
    log: once(lastRows),
    source: once(async (session: Session) => options.source ?? (await readSource(session))),
    async [Symbol.asyncDispose]() {
      await closeSessions();
      for (const link of links) await link.close();
    },
  };
}

function createPostgres({ databaseUrl, timeLimitMs }: DoctorOptions) {
  const opened: Session[] = [];
  let current: Promise<Reached<Session>> | undefined;
  const open = () =>
    reach(async () => {
      const session = await openSession({
        url: databaseUrl(),
        name: SESSION_NAME,
        settings: sessionSettings(timeLimitMs),
        connectTimeoutMs: timeLimitMs / 2,
        queryTimeoutMs: timeLimitMs * 0.75,
      });
      opened.push(session);
      return session;
    });
  return {
    async postgres(): Promise<Reached<Session>> {
      current ??= open();
      const reached = await current;
      if (reached.kind === 'absent' || !reached.connection.failed || opened.length >= SESSIONS)
        return reached;
      current = open();
      return current;
    },
    async close(): Promise<void> {
      for (const session of opened) await session.close();
    },
  };
}

/** Nothing can be written, nobody is kept waiting, and nothing waits for a standby that is gone. */
function sessionSettings(timeLimitMs: number): Readonly<Record<string, string>> {
  return {
    ...READ_SETTINGS,
    default_transaction_read_only: 'on',
    synchronous_commit: 'local',
    statement_timeout: `${Math.round(timeLimitMs / 2)}ms`,
    lock_timeout: `${Math.round(timeLimitMs / 4)}ms`,
  };
}

async function reach<Connection>(open: () => Promise<Connection>): Promise<Reached<Connection>> {
  try {
    return { kind: 'reached', connection: await open() };
  } catch (thrown) {
    if (thrown instanceof PostcommitError) return { kind: 'absent', error: thrown };
    const error = new PostcommitError('service-failed', messageOf(thrown), 'This was not expected.', {
      cause: thrown,
    });
    return { kind: 'absent', error };
  }
}

/** A failure is asked again: the next check may find a new session. */
function once<Args extends unknown[], Answer>(ask: (...args: Args) => Promise<Answer>) {
  let known: Promise<Answer> | undefined;
  return (...args: Args): Promise<Answer> => {
    if (known !== undefined) return known;
    const asked = ask(...args);
    known = asked;
    asked.catch(() => {
      known = undefined;
    });
    return asked;
  };
}

function byKey<Answer>(ask: (link: BrokerLink, key: string) => Promise<Answer>) {
  const known = new Map<string, ReturnType<typeof once<[BrokerLink, string], Answer>>>();
  return (link: BrokerLink, key: string): Promise<Answer> => {
    const asking = known.get(key) ?? once(ask);
    known.set(key, asking);
    return asking(link, key);
  };
}
