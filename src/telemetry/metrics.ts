import { Gauge, Registry } from 'prom-client';
import { createConsumerMetrics } from './consumer-metrics.ts';
import { packageVersion } from './package-version.ts';
import { createRelayMetrics } from './relay-metrics.ts';

/**
 * Every metric postcommit exposes, by the names other programs rely on. They live in a registry of their own,
 * never prom-client's global one, unless the caller hands one in.
 */
export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics(registry: Registry = new Registry()) {
  const registers = [registry];
  const buildInfo = new Gauge({
    name: 'postcommit_build_info',
    help: 'Always 1: the versions of postcommit and Node are its labels.',
    labelNames: ['version', 'node'] as const,
    registers,
  });
  buildInfo.set({ version: packageVersion(), node: process.versions.node }, 1);
  return { registry, buildInfo, ...createRelayMetrics(registers), ...createConsumerMetrics(registers) };
}
