import type { Metrics } from '../telemetry/metrics.ts';
import { liveness, type RelayHealth, readiness, type Verdict } from './health.ts';
import { type Answer, json, type Routes, text } from './http-server.ts';

const INDEX = `postcommit relay

/metrics  Prometheus metrics
/livez    200 while the relay's main loop turns
/readyz   200 while it publishes or stands by, else 503 with the reasons
`;

export function relayRoutes(status: () => RelayHealth, metrics: Metrics): Routes {
  const live = () => toAnswer(liveness(status(), performance.now()), 'alive', status());
  return {
    '/': () => text(200, INDEX),
    '/livez': live,
    '/healthz': live,
    '/readyz': () => toAnswer(readiness(status()), 'ready', status()),
    '/metrics': async () => ({
      status: 200,
      contentType: metrics.registry.contentType,
      body: await metrics.registry.metrics(),
    }),
  };
}

function toAnswer({ ok, reasons }: Verdict, word: string, { role, epoch, lanes }: RelayHealth): Answer {
  return json(ok ? 200 : 503, { status: ok ? word : `not ${word}`, reasons, role, epoch, lanes });
}
