import { messageOf } from '../errors.ts';
import { type BrokerLink, connectBroker } from '../jetstream/index.ts';
import type { NatsSettings } from '../jetstream/settings.ts';
import { READ_SETTINGS } from '../outbox/read.ts';
import { openSession, type Session } from '../postgres/session.ts';
import { silentLogger } from '../telemetry/logger.ts';

/** Where to look. Read again at each connect, as rotated secrets want it. */
export interface Sources {
  readonly databaseUrl: () => string;
  /** Absent: NATS is not looked at. */
  readonly natsSettings?: (() => NatsSettings) | undefined;
}

/** A value, or why it is not to be had now, for a person. */
export type Seen<Value> =
  | { readonly kind: 'seen'; readonly value: Value }
  | { readonly kind: 'unseen'; readonly reason: string };

/**
 * Connections to look with: opened when they are wanted, opened again after a failure, closed when nobody has looked for a
 * while. They are others than the relay's, so that looking keeps nothing from being published.
 */
export interface Connections extends AsyncDisposable {
  database<Value>(look: (session: Session) => Promise<Value>): Promise<Seen<Value>>;
  broker<Value>(look: (link: BrokerLink) => Promise<Value>): Promise<Seen<Value>>;
}

const IDLE_MS = 60_000;
/** A server that was not there is not dialled by each look. */
const RETRY_AFTER_MS = 2_000;

/** Statements here are short or of no use any more, and none of them may keep others waiting. */
const LOOK_SETTINGS = {
  ...READ_SETTINGS,
  default_transaction_read_only: 'on',
  statement_timeout: '5s',
  lock_timeout: '200ms',
};

export function createConnections({ databaseUrl, natsSettings }: Sources): Connections {
  const database = createSlot<Session>({
    open: () =>
      openSession({
        url: databaseUrl(),
        name: 'postcommit console',
        settings: LOOK_SETTINGS,
        queryTimeoutMs: 8_000,
      }),
    isUsable: (session) => !session.failed,
    close: (session) => session.close(),
  });
  const broker = createSlot<BrokerLink>({
    open: async () => {
      if (natsSettings === undefined) throw new Error('NATS is not configured here (NATS_URL)');
      const named = () => ({ ...natsSettings(), name: 'postcommit console' });
      return connectBroker(named, { logger: silentLogger() });
    },
    isUsable: (link) => !link.connection.isClosed(),
    close: (link) => link.close(),
  });
  return {
    database: (look) => database.use(look),
    broker: (look) => broker.use(look),
    async [Symbol.asyncDispose]() {
      await Promise.all([database.close(), broker.close()]);
    },
  };
}

interface Slot<Connection> {
  use<Value>(look: (connection: Connection) => Promise<Value>): Promise<Seen<Value>>;
  close(): Promise<void>;
}

interface SlotOptions<Connection> {
  readonly open: () => Promise<Connection>;
  readonly isUsable: (connection: Connection) => boolean;
  readonly close: (connection: Connection) => Promise<void>;
}

/** One connection at a time; several looks may use it at once. */
function createSlot<Connection>({ open, isUsable, close }: SlotOptions<Connection>): Slot<Connection> {
  let opened: Promise<Connection> | undefined;
  let failure: { readonly reason: string; readonly atMs: number } | undefined;
  let idle: NodeJS.Timeout | undefined;
  let users = 0;
  let ended = false;

  /** Looks that are under way with it end first: a session does so in the order of its statements. */
  function shut(): Promise<void> {
    const former = opened;
    opened = undefined;
    return former === undefined ? Promise.resolve() : former.then(close).catch(() => undefined);
  }
  async function connection(): Promise<Connection> {
    const former = opened;
    const present = await former?.catch(() => undefined);
    if (present !== undefined && isUsable(present)) return present;
    // Of several that find it broken one opens another.
    if (opened === former) void shut();
    if (ended) throw new Error('it is closed');
    opened ??= open();
    return opened;
  }
  function enter(): void {
    clearTimeout(idle);
    users++;
  }
  function leave(): void {
    users--;
    if (users > 0 || ended) return;
    idle = setTimeout(() => void shut(), IDLE_MS);
    idle.unref();
  }
  return {
    async use(look) {
      if (failure !== undefined && performance.now() - failure.atMs < RETRY_AFTER_MS)
        return { kind: 'unseen', reason: failure.reason };
      enter();
      let used: Connection | undefined;
      try {
        used = await connection();
        const value = await look(used);
        failure = undefined;
        return { kind: 'seen', value };
      } catch (error) {
        const reason = messageOf(error);
        // A statement that failed is news of that statement only.
        if (used === undefined || !isUsable(used)) failure = { reason, atMs: performance.now() };
        return { kind: 'unseen', reason };
      } finally {
        leave();
      }
    },
    async close() {
      ended = true;
      clearTimeout(idle);
      await shut();
    },
  };
}
