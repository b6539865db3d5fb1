import { connect, type NatsConnection, PermissionViolationError, type Status } from '@nats-io/transport-node';
import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import { clientOptions } from './client-options.ts';
import type { ConnectFailure } from './connect-failure.ts';
import { dialBeside, firstAttempt } from './first-attempt.ts';
import { createOutageWatch, type OutageWatch } from './outage-watch.ts';
import { type NatsSettingsSource, parseServers } from './settings.ts';

export type { NatsSettings, NatsSettingsSource, TlsSettings } from './settings.ts';

/** A connection that outlives its server: it reconnects for ever and says when it is down. */
export interface BrokerLink extends AsyncDisposable {
  readonly connection: NatsConnection;
  /** False between disconnect and reconnect, and after `close()`. What is sent then is lost at the next dial. */
  readonly connected: boolean;
  /** Largest message (headers and payload) the server takes; the last known while disconnected. */
  readonly maxPayload: number;
  /** The last thing the server did not permit since the last connect, for reasons shown to a person. */
  readonly denial: string | undefined;
  /** Why it does not come back, as far as that is known; undefined while it is up. */
  readonly outage: ConnectFailure | undefined;
  /** Calls the listener after each reconnect; the result takes it off again. */
  onReconnect(listener: () => void): () => void;
  /** Calls the listener at each loss of the connection and at `close()`; the result takes it off again. */
  onDisconnect(listener: () => void): () => void;
  /** Resolves when connected, or without an error when the signal aborts or the link is closed. */
  waitConnected(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export interface ConnectOptions {
  readonly logger: Logger;
  /** Cancels the start; an established link ends with `close()`. */
  readonly signal?: AbortSignal;
  /** How long the start may take. Default 5,000. */
  readonly firstAttemptTimeoutMs?: number;
}

const LOG_INTERVAL_MS = 1_000;

/**
 * Connects once, within a bound, so that a wrong address fails the start instead of hanging it; from then on the
 * link stays up by itself. Throws `broker-unreachable` or `config-invalid`.
 */
export async function connectBroker(
  source: NatsSettingsSource,
  { logger, signal, firstAttemptTimeoutMs = 5_000 }: ConnectOptions,
): Promise<BrokerLink> {
  const settings = typeof source === 'function' ? source() : source;
  const options = clientOptions(source, { logger, timeoutMs: firstAttemptTimeoutMs });
  const attempt = { settings, signal, timeoutMs: firstAttemptTimeoutMs };
  const connection = await firstAttempt(connect(options), attempt);
  const outages = createOutageWatch({
    dial: () => dialBeside(options, source),
    tell: ({ reason, hint }) =>
      logger.warn({ event: 'nats-unreachable', reason, hint }, `NATS cannot be reached: ${reason}`),
  });
  return createLink(connection, { logger, source, outages });
}

/** A link over a connection of the caller's. It is up for as long as that connection is set to reconnect. */
export function linkTo(connection: NatsConnection, { logger }: { logger: Logger }): BrokerLink {
  return createLink(connection, { logger, source: { servers: [] }, outages: NONE });
}

/** Nothing is known about how the caller's connection is made. */
const NONE: OutageWatch = { failure: undefined, begin: () => undefined, end: () => undefined };

interface LinkState {
  connected: boolean;
  maxPayload: number;
  denial: string | undefined;
}

interface LinkParts {
  readonly logger: Logger;
  readonly source: NatsSettingsSource;
  readonly outages: OutageWatch;
}

function createLink(connection: NatsConnection, { logger, source, outages }: LinkParts): BrokerLink {
  // A connection of the caller's may be between two servers: it knows a server's info only while it is up.
  const state: LinkState = {
    connected: connection.info !== undefined,
    maxPayload: maxPayloadOf(connection),
    denial: undefined,
  };
  const reconnectListeners = new Set<() => void>();
  const disconnectListeners = new Set<() => void>();
  const log = createStatusLog(logger);
  let closing = false;

  const goDown = () => {
    if (!state.connected) return;
    state.connected = false;
    if (!closing) outages.begin();
    for (const listener of [...disconnectListeners]) listener();
  };
  const goUp = () => {
    state.connected = true;
    state.denial = undefined;
    outages.end();
    state.maxPayload = maxPayloadOf(connection);
    for (const listener of [...reconnectListeners]) listener();
  };
  const onStatus = (status: Status) => {
    if (status.type === 'reconnecting') {
      takeUpServers(connection, source);
    } else if (status.type === 'disconnect') {
      takeUpServers(connection, source);
      log.disconnected(status.server);
      goDown();
    } else if (status.type === 'reconnect') {
      // Two losses in a row may come with one reconnect between them: never skip the news of a loss.
      goDown();
      log.reconnected(status.server);
      goUp();
    } else if (status.type === 'error' && status.error instanceof PermissionViolationError) {
      state.denial = status.error.message;
      log.denied(status.error.message);
    }
  };
  void (async () => {
    for await (const status of connection.status()) onStatus(status);
  })();
  void connection.closed().then((reason) => {
    if (!closing) log.closed(reason ? messageOf(reason) : 'no reason given');
    goDown();
  });

  const on = (listeners: Set<() => void>) => (listener: () => void) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  };
  const onReconnect = on(reconnectListeners);
  const close = async () => {
    closing = true;
    goDown();
    outages.end();
    await connection.close();
  };
  return {
    connection,
    get connected() {
      return state.connected && !connection.isClosed();
    },
    get maxPayload() {
      return state.maxPayload;
    },
    get denial() {
      return state.denial;
    },
    get outage() {
      return outages.failure;
    },
    onReconnect,
    onDisconnect: on(disconnectListeners),
    waitConnected: (signal) => waitConnected({ connection, state, onReconnect, signal }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

interface Waiting {
  readonly connection: NatsConnection;
  readonly state: LinkState;
  readonly onReconnect: BrokerLink['onReconnect'];
  readonly signal: AbortSignal;
}

function waitConnected({ connection, state, onReconnect, signal }: Waiting): Promise<void> {
  if (state.connected || signal.aborted || connection.isClosed()) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      off();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const off = onReconnect(done);
    signal.addEventListener('abort', done, { once: true });
    void connection.closed().then(done);
  });
}

/** A URL read from a file may name other servers by now. */
function takeUpServers(connection: NatsConnection, source: NatsSettingsSource): void {
  if (typeof source !== 'function') return;
  try {
    const servers = parseServers(source().servers).map((server) => server.address);
    const known = new Set(connection.getServers().map((server) => server.listen));
    if (servers.some((server) => !known.has(server))) connection.setServers(servers);
  } catch {
    // Unreadable at this moment: the servers known so far are tried, and the authenticator says what is wrong.
  }
}

/** Events are judged by it: what is no size must not make them all too large. */
function maxPayloadOf(connection: NatsConnection): number {
  const told: unknown = connection.info?.max_payload;
  return Number.isSafeInteger(told) && (told as number) > 0 ? (told as number) : 1_048_576;
}

/** Status lines, each kind at most once a second: a flapping connection must not fill a disk. */
function createStatusLog(logger: Logger) {
  const last = new Map<string, number>();
  const line = (
    level: 'info' | 'warn' | 'error',
    fields: { event: string; [field: string]: unknown },
    text: string,
  ) => {
    const now = performance.now();
    if (now - (last.get(fields.event) ?? Number.NEGATIVE_INFINITY) < LOG_INTERVAL_MS) return;
    last.set(fields.event, now);
    logger[level](fields, text);
  };
  return {
    disconnected: (server: string) =>
      line('warn', { event: 'nats-disconnected', server }, 'Lost the connection to NATS, reconnecting'),
    reconnected: (server: string) =>
      line('info', { event: 'nats-reconnected', server }, 'Connected to NATS again'),
    denied: (reason: string) =>
      line(
        'error',
        { event: 'nats-permission-denied', reason },
        'NATS does not permit this; the account needs it',
      ),
    closed: (reason: string) => line('error', { event: 'nats-closed', reason }, 'The NATS client gave up'),
  };
}
