import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { parseDuration } from '../../src/daemon/values.ts';
import { COMPOSE_FILE, type Compose, composeConfig, type Service } from './compose-file.ts';
import { acceptedConfig, graceMsOf, routePaths } from './relay-settings.ts';

const ROOT = join(import.meta.dirname, '..', '..');

let compose: Compose;

beforeAll(async () => {
  compose = await composeConfig(['--profile', 'monitoring']);
});

function service(name: string): Service {
  const found = compose.services[name];
  if (found === undefined) throw new Error(`there is no service ${name}`);
  return found;
}

function everyService(): [string, Service][] {
  return Object.entries(compose.services);
}

const RELAYS = ['relay-1', 'relay-2'];

test('one command starts both servers, the migration and two relays; monitoring is asked for', async () => {
  const { services } = await composeConfig([]);
  expect(Object.keys(services).sort()).toEqual(['migrate', 'nats', 'postgres', ...RELAYS]);
  expect(Object.keys(compose.services).sort()).toEqual(
    ['grafana', 'migrate', 'nats', 'postgres', 'prometheus', ...RELAYS].sort(),
  );
});

describe('every service', () => {
  test('has a root it cannot write to and no capabilities', () => {
    for (const [name, one] of everyService()) {
      expect(one, name).toMatchObject({
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
      });
      expect([one.cap_add, one.privileged], name).toEqual([undefined, undefined]);
    }
  });

  test('is reached from this machine only', () => {
    const ports = everyService().flatMap(([, { ports = [] }]) => ports);
    expect(ports.map(({ host_ip }) => host_ip)).toEqual(ports.map(() => '127.0.0.1'));
    const published = ports.map((port) => port.published);
    expect(new Set(published).size).toBe(published.length);
  });

  test('runs a version that is named, or what is built here', () => {
    const images = everyService().map(([, { image, build }]) => ({ image, build: build?.context }));
    for (const { image, build } of images)
      if (build === undefined && image !== 'postcommit')
        expect(image).toMatch(/:v?\d+\.\d+(\.\d+)?(-[a-z]+)?$/);
    expect(images).toContainEqual({ image: 'postcommit', build: ROOT });
  });

  test('is asked how it is, but for the migration, which ends', () => {
    for (const [name, { healthcheck }] of everyService())
      expect(healthcheck?.disable ?? healthcheck?.test?.[0], name).toBe(name === 'migrate' ? true : 'CMD');
  });

  test('mounts what is in the repository, to read only, and keeps the rest in a volume', () => {
    for (const [name, { volumes = [] }] of everyService())
      for (const { type, source, target, read_only } of volumes) {
        const kept = type === 'volume';
        const there = kept ? Object.keys(compose.volumes).includes(source) : existsSync(source);
        expect({ there, safe: kept || read_only === true }, `${name}: ${target}`).toEqual({
          there: true,
          safe: true,
        });
      }
  });
});

describe('secrets', () => {
  test('are files that exist, and every setting that names one has it mounted', () => {
    for (const [name, { environment = {}, secrets = [] }] of everyService()) {
      const named = Object.entries(environment)
        .filter(([variable]) => variable.endsWith('_FILE'))
        .map(([, path]) => path);
      expect(secrets.map(({ target }) => target).sort(), name).toEqual(named.sort());
    }
    for (const { file } of Object.values(compose.secrets)) expect(existsSync(file), file).toBe(true);
  });

  test('stand in no variable, and in no argument', () => {
    for (const [name, { environment = {}, command }] of everyService()) {
      const secret = Object.keys(environment).filter((variable) =>
        /PASSWORD$|TOKEN$|^DATABASE_URL$/.test(variable),
      );
      expect([secret, (command ?? []).filter((argument) => argument.includes('@'))], name).toEqual([[], []]);
    }
  });

  test('agree with each other and with what the file tells a person to export', () => {
    const url = new URL(secretOf('database-url'));
    const { POSTGRES_USER, POSTGRES_DB } = service('postgres').environment ?? {};
    expect(url).toMatchObject({
      hostname: 'postgres',
      port: '5432',
      username: POSTGRES_USER,
      pathname: `/${POSTGRES_DB}`,
      password: secretOf('postgres-password'),
    });
    const [, told = ''] = /export DATABASE_URL=(\S+)/.exec(readFileSync(COMPOSE_FILE, 'utf8')) ?? [];
    url.hostname = '127.0.0.1';
    expect(told).toBe(url.href);
  });

  test('are all explained', () => {
    const folder = join(ROOT, 'deploy/compose/secrets');
    const files = readdirSync(folder).filter((name) => name !== 'README.md');
    expect(files.sort()).toEqual(Object.keys(compose.secrets).sort());
    const told = readFileSync(join(folder, 'README.md'), 'utf8').matchAll(/^\| `([^`]+)` \|/gm);
    expect([...told].map(([, name]) => name).sort()).toEqual(files.sort());
  });

  function secretOf(name: string): string {
    return readFileSync(compose.secrets[name]?.file ?? '', 'utf8').trim();
  }
});

describe('the relays', () => {
  test('are alike, but for the port at which this machine reaches them', () => {
    const [first, second] = RELAYS.map((name) => ({ ...service(name), ports: [] }));
    expect(first).toEqual(second);
  });

  test('are configured as a relay accepts it, and serve where they are asked', async () => {
    for (const name of RELAYS) {
      const { environment = {}, secrets = [], ports = [], healthcheck } = service(name);
      const files = new Map(
        secrets.map(({ source, target }) => [
          target,
          readFileSync(compose.secrets[source]?.file ?? '', 'utf8'),
        ]),
      );
      const accepted = await acceptedConfig(environment, files);
      expect(accepted.http).toEqual({ host: '0.0.0.0', port: ports[0]?.target });
      expect(routePaths()).toContain(healthcheck?.test?.at(-1));
      expect(healthcheck?.test?.slice(1, -1)).toEqual(['node', '/app/healthcheck.mjs']);
    }
  });

  test('have the time to stop in order', () => {
    const { command, stop_grace_period = '' } = service('relay-1');
    expect(parseDuration(stop_grace_period)).toBeGreaterThanOrEqual(graceMsOf(command ?? []) + 5_000);
  });

  test('start when the migration is done, and that when PostgreSQL answers', () => {
    expect(service('relay-1').depends_on).toMatchObject({
      migrate: { condition: 'service_completed_successfully' },
      nats: { condition: 'service_healthy' },
    });
    expect(service('migrate').depends_on).toMatchObject({ postgres: { condition: 'service_healthy' } });
  });
});

describe('monitoring', () => {
  test('is no part of the one command', () => {
    const asked = everyService().filter(([, { profiles }]) => profiles !== undefined);
    expect(asked.map(([name, { profiles }]) => [name, profiles])).toEqual([
      ['grafana', ['monitoring']],
      ['prometheus', ['monitoring']],
    ]);
  });

  test('scrapes both relays where they serve, and loads rules that are mounted', () => {
    const { scrape_configs, rule_files } = yaml('deploy/compose/prometheus.yml');
    // A job's name has to hold `postcommit`: the rules count the relays of such jobs.
    const job = scrape_configs.find(({ job_name }: { job_name: string }) => job_name === 'postcommit');
    const targets = RELAYS.map((name) => `${name}:${service(name).ports?.[0]?.target}`);
    expect(job).toMatchObject({ metrics_path: '/metrics', static_configs: [{ targets }] });
    const mounted = (service('prometheus').volumes ?? []).map(({ target }) => target);
    const wanted = ['prometheus.yml', ...rule_files].map((file: string) => `/etc/prometheus/${file}`);
    expect(mounted).toEqual(expect.arrayContaining(wanted));
  });

  test('shows the dashboard with the data of that Prometheus', () => {
    const [datasource] = yaml('deploy/grafana/provisioning/datasources/prometheus.yml').datasources;
    const { hostname, port } = new URL(datasource.url);
    expect(Object.keys(compose.services)).toContain(hostname);
    expect(service(hostname).ports?.map(({ target }) => String(target))).toContain(port);

    const { volumes = [], environment = {} } = service('grafana');
    const dashboard = volumes.find(({ source }) => source.endsWith('deploy/grafana/postcommit.json'));
    const [provider] = yaml('deploy/grafana/provisioning/dashboards/postcommit.yml').providers;
    expect(dashboard?.target).toBe(`${provider.options.path}/postcommit.json`);
    expect(environment.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH).toBe(dashboard?.target);

    const text = readFileSync(join(ROOT, 'deploy/grafana/postcommit.json'), 'utf8');
    const uids = [...text.matchAll(/"datasource":\s*\{[^}]*"uid":\s*"([^"]+)"/g)].map(([, uid]) => uid);
    // Grafana's own annotations, a variable that the reader chooses, or ours.
    expect(
      uids.filter((uid) => ![datasource.uid, '-- Grafana --'].includes(uid) && !uid?.startsWith('$')),
    ).toEqual([]);
  });

  function yaml(path: string) {
    return parse(readFileSync(join(ROOT, path), 'utf8'));
  }
});
