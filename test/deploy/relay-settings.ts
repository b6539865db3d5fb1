import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadRelayConfig, type RelayConfig } from '../../src/daemon/config.ts';
import { relayRoutes } from '../../src/daemon/routes.ts';
import { parseDuration } from '../../src/daemon/values.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';

/**
 * The configuration that a relay makes of a container's variables, with the files that are mounted there by their paths.
 * @throws what the relay would end with (exit code 3).
 */
export async function acceptedConfig(
  env: Readonly<Record<string, string>>,
  files: ReadonlyMap<string, string>,
): Promise<RelayConfig> {
  const mounted = await mountFiles(files);
  try {
    return loadRelayConfig({ env: mounted.rewrite(env) });
  } finally {
    await mounted.remove();
  }
}

export interface Mounted {
  /** Leads to where the files lie here. */
  rewrite(env: Readonly<Record<string, string>>): Record<string, string>;
  remove(): Promise<void>;
}

export async function mountFiles(files: ReadonlyMap<string, string>): Promise<Mounted> {
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-mounted-'));
  const places = new Map<string, string>();
  for (const [path, content] of files) {
    const place = join(folder, String(places.size));
    await writeFile(place, content);
    places.set(path, place);
  }
  return {
    rewrite: (env) =>
      Object.fromEntries(Object.entries(env).map(([name, value]) => [name, places.get(value) ?? value])),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Every path that a relay answers. */
export function routePaths(): string[] {
  const routes = relayRoutes(() => {
    throw new Error('not asked');
  }, createMetrics());
  return Object.keys(routes);
}

/** Of `relay --grace 15s`. */
export function graceMsOf(command: readonly string[]): number {
  const graceMs = parseDuration(command[command.indexOf('--grace') + 1] ?? '');
  if (graceMs === undefined) throw new Error(`${command.join(' ')} says nothing of its grace`);
  return graceMs;
}
