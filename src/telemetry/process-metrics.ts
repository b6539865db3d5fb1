import { collectDefaultMetrics } from 'prom-client';
import { LONGEST_TIMER_MS } from '../lifecycle/abort.ts';
import type { Metrics } from './metrics.ts';

/** Made of samples that a timer takes every 10 ms: 0.7 % of a core, more than all else that an idle relay does. */
const SAMPLED = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'].map(
  (name) => `nodejs_eventloop_lag_${name}_seconds`,
);

/** Adds what prom-client knows of the process: CPU, memory, descriptors, garbage collection. Once for a process. */
export function collectProcessMetrics({ registry }: Metrics): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LONGEST_TIMER_MS });
  for (const name of SAMPLED) registry.removeSingleMetric(name);
}
