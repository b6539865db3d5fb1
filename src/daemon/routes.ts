import type { Metrics } from '../telemetry/metrics.ts';
import { liveness, type RelayHealth, readiness, type Verdict } from './health.ts';
import { type Answer, json, type Routes } from './http-server.ts';

export function relayRoutes(status: () => RelayHealth, metrics: Metrics): Routes {
  const live = () => toAnswer(liveness(status(), performance.now()), 'alive', status());
  return {
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
