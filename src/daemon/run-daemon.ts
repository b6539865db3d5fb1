import { aborted } from '../lifecycle/abort.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { RelayHealth } from './health.ts';
import { type HttpServer, type Routes, startHttpServer } from './http-server.ts';
import { relayRoutes } from './routes.ts';
import type { HttpAddress } from './values.ts';

/** What the daemon runs; `createRelay` returns one. */
export interface Runnable {
  start(): Promise<void>;
  readonly ready: Promise<'leader' | 'standby'>;
  status(): RelayHealth;
  stop(options?: { readonly graceMs?: number }): Promise<void>;
  readonly closed: Promise<void>;
}

export interface DaemonOptions {
  readonly relay: Runnable;
  /** Null for none. */
  readonly http: HttpAddress | null;
  /** Served beside the relay's own paths. */
  readonly routes?: Routes;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** Its abort is the request to stop. */
  readonly stopRequested: AbortSignal;
  /** How long publishing may go on settling after that request, in milliseconds. */
  readonly graceMs: number;
}

/**
 * Runs a relay and its HTTP server until a stop is requested; resolves when everything is settled and closed.
 * HTTP comes first, so that probes have an answer while the relay is still connecting.
 *
 * @throws what the relay's first start throws, or why it ended unasked.
 */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  const { relay, http, routes = {}, metrics, logger, stopRequested, graceMs } = options;
  const server =
    http === null
      ? undefined
      : await startHttpServer(http, { ...routes, ...relayRoutes(() => relay.status(), metrics) });
  try {
    const stopped = aborted(stopRequested).then(() => {
      logger.info(
        { event: 'stopping', signal: stopRequested.reason, graceMs },
        'stopping; a second signal ends at once',
      );
      return relay.stop({ graceMs });
    });
    // A start that a stop interrupts may fail: that is no news.
    const started = startAndAnnounce(relay, server, logger).catch((error) => {
      if (!stopRequested.aborted) throw error;
    });
    const ended = relay.closed.then(() => assertAsked(stopRequested));
    await Promise.race([Promise.all([started, ended]), stopped]);
    await relay.closed;
    logger.info({ event: 'stopped' }, 'stopped, everything acknowledged is settled');
  } finally {
    await server?.close();
  }
}

async function startAndAnnounce(
  relay: Runnable,
  server: HttpServer | undefined,
  logger: Logger,
): Promise<void> {
  await relay.start();
  const role = await relay.ready;
  // Programs wait for this line: it comes at every level but `silent`.
  const announcer = logger.level === 'silent' ? logger : logger.child({}, { level: 'info' });
  announcer.info(
    { event: 'ready', role, http: server?.url ?? null },
    role === 'leader' ? 'leading: publishing what is committed' : 'standing by: another relay leads',
  );
}

function assertAsked(stopRequested: AbortSignal): void {
  if (!stopRequested.aborted) throw new Error('the relay ended without being asked to');
}
