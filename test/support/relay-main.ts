import { runDaemon } from '../../src/daemon/run-daemon.ts';
import { watchStopSignals } from '../../src/daemon/stop-signals.ts';
import { createRelay } from '../../src/relay/index.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import type { RelaySettings } from './relay-settings.ts';

const settings = JSON.parse(process.env.SETTINGS ?? '') as RelaySettings;
const { databaseUrl, natsUrl, lane, http, blockMs, graceMs, ...others } = settings;
const [host = '', port] = http.split(':');
const logger = createLogger();
const metrics = createMetrics();
const relay = createRelay({
  ...others,
  databaseUrl: () => databaseUrl,
  nats: () => ({ servers: natsUrl.split(',') }),
  lanes: [lane],
  logger,
  metrics,
});
process.on('SIGUSR2', () => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, blockMs);
});
await runDaemon({
  relay,
  metrics,
  logger,
  http: { host, port: Number(port) },
  stopRequested: watchStopSignals().requested,
  graceMs,
});
