import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { createGuardian } from '../../src/embedded/guardian.ts';
import { freePort } from '../../src/embedded/index.ts';
import { launchServer, stopServer, untilReady } from '../../src/embedded/server-process.ts';
import { ensurePrometheus } from '../support/install-prometheus.ts';
import { FOLDER, readYaml } from './rules-file.ts';

/** A Prometheus of the test's own, on loopback, that scrapes every second. */
export interface PrometheusServer extends AsyncDisposable {
  /** What a path of its API answers as `data`. @throws with its words if it refuses. */
  ask(path: string, parameters?: Readonly<Record<string, string>>): Promise<unknown>;
  query(expr: string): Promise<readonly Sample[]>;
}

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

interface Configuration {
  readonly global: object;
  readonly scrape_configs: readonly { readonly job_name: string }[];
}

/** Runs with the example configuration and its rules; `targets` takes the place of those of each job. */
export async function startPrometheus(
  targets: Readonly<Record<string, readonly string[]>>,
): Promise<PrometheusServer> {
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-prometheus-'));
  const example = readYaml('prometheus.yml') as Configuration;
  const config = {
    ...example,
    global: { ...example.global, scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    scrape_configs: example.scrape_configs.map((job) => ({
      ...job,
      static_configs: [{ targets: targets[job.job_name] ?? [] }],
    })),
  };
  await writeFile(join(folder, 'prometheus.yml'), stringify(config));
  await copyFile(join(FOLDER, 'postcommit.rules.yml'), join(folder, 'postcommit.rules.yml'));
  const address = `127.0.0.1:${await freePort()}`;
  const guardian = createGuardian({ signal: 'TERM', temporaryFolder: folder });
  const launch = {
    name: 'Prometheus',
    command: await ensurePrometheus('prometheus'),
    args: [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${address}`,
    ],
    logFile: join(folder, 'prometheus.log'),
    guardian,
  };
  const server = await launchServer(launch);
  const ask: PrometheusServer['ask'] = async (path, parameters = {}) => {
    const response = await fetch(`http://${address}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const { data, error } = (await response.json()) as { readonly data?: unknown; readonly error?: string };
    if (error !== undefined) throw new Error(error);
    return data;
  };
  await untilReady(server, launch, () => ask('status/buildinfo'));
  return {
    ask,
    query: async (query) =>
      ((await ask('query', { query })) as { readonly result: readonly Sample[] }).result,
    async [Symbol.asyncDispose]() {
      await stopServer(server, 'SIGTERM');
      await guardian.dismiss();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
