import { runDaemon } from '../../src/daemon/run-daemon.ts';
import { watchStopSignals } from '../../src/daemon/stop-signals.ts';
import { createRelay } from '../../src/relay/index.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';

// What `postcommit relay` runs, with a lease time of the test's choice: argv is that time and host:port for HTTP.

const [leaseTtlMs, http = ''] = process.argv.slice(2);
const { DATABASE_URL = '', NATS_URL = '', POSTCOMMIT_STREAM = '', POSTCOMMIT_SUBJECTS = '' } = process.env;
const [host = '', port] = http.split(':');
const logger = createLogger();
const metrics = createMetrics();
const relay = createRelay({
  databaseUrl: () => DATABASE_URL,
  nats: () => ({ servers: [NATS_URL] }),
  lanes: [{ stream: POSTCOMMIT_STREAM, subjects: [POSTCOMMIT_SUBJECTS], ordering: 'stream' }],
  leaseTtlMs: Number(leaseTtlMs),
  logger,
  metrics,
});
// SIGUSR2 blocks the event loop, as a long synchronous computation does, for four times the lease.
process.on('SIGUSR2', () => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4 * Number(leaseTtlMs));
});
await runDaemon({
  relay,
  metrics,
  logger,
  http: { host, port: Number(port) },
  stopRequested: watchStopSignals().requested,
  graceMs: 10_000,
});
