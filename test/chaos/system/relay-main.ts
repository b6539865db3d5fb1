import { runDaemon } from '../../../src/daemon/run-daemon.ts';
import { watchStopSignals } from '../../../src/daemon/stop-signals.ts';
import { createRelay, type LaneOptions } from '../../../src/relay/index.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';

// What `postcommit relay` runs, with a shorter lease and smaller segments than the command line offers: argv as JSON.

export interface RelaySettings {
  readonly databaseUrl: string;
  readonly natsUrl: string;
  readonly lane: LaneOptions;
  readonly leaseTtlMs: number;
  readonly retentionMs: number;
  readonly segmentBytes: number;
  readonly httpPort: number;
  readonly blockMs: number;
}

const settings = JSON.parse(process.argv[2] ?? '') as RelaySettings;
const { databaseUrl, natsUrl, lane, httpPort, blockMs, ...others } = settings;
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
// As a long synchronous computation does.
process.on('SIGUSR2', () => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, blockMs);
});
await runDaemon({
  relay,
  metrics,
  logger,
  http: { host: '127.0.0.1', port: httpPort },
  stopRequested: watchStopSignals().requested,
  graceMs: 5_000,
});
