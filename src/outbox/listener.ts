import { Socket } from 'node:net';
import pgListen from 'pg-listen';
import { sleep } from '../lifecycle/abort.ts';
import type { Logger } from '../telemetry/logger.ts';

/** The channel that the outbox's trigger notifies. */
const CHANNEL = 'postcommit';
/** A half-open socket brings no error: the session is asked for a sign of life this often, and gets as long to answer. */
const HEARTBEAT_MS = 5_000;
/** How long the server may take to close its side at the end. */
const END_PATIENCE_MS = 1_000;

/** The session that LISTENs. It comes back by itself, for ever. */
export interface Listener {
  /** False while notifications may be missed: nobody may park then. */
  readonly listening: boolean;
  close(): Promise<void>;
}

export interface ListenerOptions {
  /** Asked at the start, and again when the session does not come back. */
  readonly url: () => string;
  readonly logger: Logger;
  /** A notification arrived, or some may have been missed: look. */
  readonly wake: () => void;
  /** Told when `listening` has changed. */
  readonly onListening?: (listening: boolean) => void;
  /** It would try for ever with a URL that is not the current one: whoever listens has to begin anew. */
  readonly onOutdated: (reason: Error) => void;
}

/** @throws if the first connection fails; later losses are its own affair, while the URL stays what it is. */
export async function listen({
  url,
  logger,
  wake,
  onListening,
  onOutdated,
}: ListenerOptions): Promise<Listener> {
  let listening = false;
  const setListening = (now: boolean) => {
    if (listening !== now) onListening?.(now);
    listening = now;
  };
  let closed = false;
  let socket: Socket | undefined;
  const connectionString = url();
  const subscriber = pgListen.default(
    {
      connectionString,
      application_name: 'postcommit listen',
      connectionTimeoutMillis: HEARTBEAT_MS,
      query_timeout: HEARTBEAT_MS,
      stream() {
        socket = new Socket();
        return socket;
      },
    },
    {
      paranoidChecking: HEARTBEAT_MS,
      retryTimeout: Number.POSITIVE_INFINITY,
      retryInterval(attempt) {
        // The only way to end pg-listen's reconnecting from outside.
        if (closed) throw new Error('closed');
        return Math.min(100 * 2 ** attempt, 5_000);
      },
      parse: () => undefined,
    },
  );
  subscriber.notifications.on(CHANNEL, wake);
  subscriber.events.on('reconnect', (attempt) => {
    setListening(false);
    if (attempt > 1 && isOutdated(connectionString, url))
      onOutdated(
        new Error('the listening session was lost, and DATABASE_URL has changed since it was opened'),
      );
    if (attempt === 1)
      logger.warn({ event: 'listen-lost' }, 'the listening session was lost; polling until it is back');
    wake();
  });
  subscriber.events.on('connected', () => {
    if (closed) return void subscriber.close().catch(() => undefined);
    setListening(true);
    wake(); // What was notified in between is gone: drain.
  });
  subscriber.events.on('error', ({ message }) => {
    setListening(false);
    if (!closed)
      logger.error({ event: 'listen-failed', reason: message }, `the listening session failed: ${message}`);
    wake();
  });
  await subscriber.connect();
  await subscriber.listenTo(CHANNEL);
  setListening(true);
  return {
    get listening() {
      return listening;
    },
    async close() {
      closed = true;
      setListening(false);
      const ended = new AbortController();
      const patience = sleep(END_PATIENCE_MS, ended.signal);
      await Promise.race([subscriber.close().catch(() => undefined), patience]);
      ended.abort();
      socket?.destroy(); // Behind a network that swallows everything, the server never answers a goodbye.
    },
  };
}

function isOutdated(used: string, current: () => string): boolean {
  try {
    return current() !== used;
  } catch {
    return false; // A file that is being replaced at this moment.
  }
}
