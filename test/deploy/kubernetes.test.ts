import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { SETTING_KEYS, settingOf } from '../../src/daemon/settings.ts';
import { buildManifests, type Manifest, only, schemaProblems } from './manifests.ts';
import { containerOf, environmentOf, mountedFiles } from './pods.ts';
import { acceptedConfig, graceMsOf, routePaths } from './relay-settings.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const EXAMPLE = 'deploy/kubernetes/overlays/example';

let base: Manifest[];
let example: Manifest[];
let relay: Manifest;
let migration: Manifest;

beforeAll(async () => {
  [base, example] = await Promise.all([buildManifests('deploy/kubernetes/base'), buildManifests(EXAMPLE)]);
  relay = only(example, 'Deployment');
  migration = only(example, 'Job');
});

describe('against the official schemas', () => {
  test('every object is valid, to the last field', async () => {
    expect(await schemaProblems(base)).toEqual([]);
    expect(await schemaProblems(example)).toEqual([]);
  });

  test('a wrong value and a misspelled field are found', async () => {
    const text = JSON.stringify(relay);
    const wrong: Manifest[] = [
      JSON.parse(text.replace('"containerPort":9465', '"containerPort":"9465"')),
      JSON.parse(text.replace('"readinessProbe"', '"readynessProbe"')),
    ];
    const problems = await schemaProblems(wrong);
    expect(problems).toContainEqual(expect.stringContaining('containerPort must be integer'));
    expect(problems).toContainEqual(expect.stringMatching(/readynessProbe.* does not exist/));
  });
});

describe('probes', () => {
  test('ask for paths that the relay answers, at the port that it serves on for everyone', async () => {
    const { startupProbe, livenessProbe, readinessProbe, ports } = containerOf(relay);
    const { http } = await acceptedConfig(environmentOf(relay, example), mountedFiles(relay, example));
    expect(ports).toEqual([{ name: 'http', containerPort: http?.port }]);
    expect(http?.host).toBe('0.0.0.0');
    for (const { httpGet } of [startupProbe, livenessProbe, readinessProbe]) {
      expect(httpGet.port).toBe('http');
      expect(routePaths()).toContain(httpGet.path);
    }
    // A restart helps against a loop that stands still, never against an outage of PostgreSQL or NATS.
    expect([startupProbe, livenessProbe].map(({ httpGet }) => httpGet.path)).toEqual(['/livez', '/livez']);
    expect(readinessProbe.httpGet.path).toBe('/readyz');
  });

  test('are answered by a standby as by a leader, so a rollout waits for no lead', () => {
    expect(relay.spec.replicas).toBe(2);
    expect(relay.spec.strategy.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 });
  });

  test('leave the time for an orderly stop', () => {
    const graceMs = graceMsOf(containerOf(relay).args);
    expect(relay.spec.template.spec.terminationGracePeriodSeconds * 1_000).toBeGreaterThanOrEqual(
      graceMs + 10_000,
    );
  });
});

describe('settings and secrets', () => {
  test('every variable is a setting, and a secret is the path of a mounted file', () => {
    const known = new Set(
      SETTING_KEYS.flatMap((key) => {
        const { env, alsoAsFile } = settingOf(key);
        return alsoAsFile === true ? [env, `${env}_FILE`] : [env];
      }),
    );
    const secret = new Set(
      SETTING_KEYS.filter((key) => settingOf(key).secret !== undefined).map((key) => settingOf(key).env),
    );
    for (const owner of [relay, migration]) {
      const environment = environmentOf(owner, example);
      expect(Object.keys(environment).filter((name) => !known.has(name))).toEqual([]);
      expect(Object.keys(environment).filter((name) => secret.has(name as never))).toEqual([]);
      const paths = Object.entries(environment).filter(([name]) => name.endsWith('_FILE'));
      expect(paths.map(([, path]) => path).sort()).toEqual([...mountedFiles(owner, example).keys()].sort());
    }
  });

  test('are read by the user that the containers run as, and by nobody else', () => {
    for (const owner of [relay, migration]) {
      const { securityContext, volumes } = owner.spec.template.spec;
      expect(securityContext).toMatchObject({ runAsGroup: securityContext.fsGroup });
      expect(volumes).toEqual([
        expect.objectContaining({ secret: expect.objectContaining({ defaultMode: 0o440 }) }),
      ]);
    }
  });

  test('keep the owner of the schema from the relays, and let a rotated file arrive', () => {
    const [ofRelay, ofMigration] = [relay, migration].map(
      (owner) => owner.spec.template.spec.volumes[0].secret.secretName,
    );
    expect(ofRelay).not.toBe(ofMigration);
    // A file mounted by subPath is never brought up to date.
    expect(containerOf(relay).volumeMounts[0]).not.toHaveProperty('subPath');
  });

  test('a change of them rolls the relays: their names hold a hash of their content', () => {
    const generated = example.filter(({ kind }) => kind === 'ConfigMap' || kind === 'Secret');
    expect(generated.map(({ metadata }) => metadata.name)).toEqual([
      expect.stringMatching(/^postcommit-relay-[a-z0-9]{10}$/),
      expect.stringMatching(/^postcommit-migrate-[a-z0-9]{10}$/),
      expect.stringMatching(/^postcommit-relay-[a-z0-9]{10}$/),
    ]);
  });
});

describe('labels', () => {
  test('of the pods are those that Deployment, budget, monitor, policies and spreading look for', () => {
    const labels = relay.spec.template.metadata.labels;
    const [policy, monitoring] = ['postcommit', 'postcommit-monitoring'].map((name) =>
      only(example, 'NetworkPolicy', name),
    );
    const selectors = [
      relay.spec.selector,
      only(example, 'PodDisruptionBudget').spec.selector,
      only(example, 'PodMonitor').spec.selector,
      monitoring?.spec.podSelector,
      policy?.spec.podSelector,
      ...relay.spec.template.spec.topologySpreadConstraints.map(
        ({ labelSelector }: { labelSelector: unknown }) => labelSelector,
      ),
    ];
    for (const { matchLabels } of selectors) expect(labels).toMatchObject(matchLabels);
  });

  test('of the migration are not those of a relay, which a budget or a monitor would count', () => {
    const labels = migration.spec.template.metadata.labels;
    const { matchLabels } = only(example, 'PodDisruptionBudget').spec.selector;
    expect(labels).not.toMatchObject(matchLabels);
    // But the policy that lets it out to PostgreSQL is its, too.
    expect(labels).toMatchObject(only(example, 'NetworkPolicy', 'postcommit').spec.podSelector.matchLabels);
  });

  test('of a namespace are those of the overlay, for everything', () => {
    const namespaces = example
      .filter(({ kind }) => kind !== 'Namespace')
      .map(({ metadata }) => metadata.namespace);
    expect(new Set(namespaces)).toEqual(new Set([only(example, 'Namespace').metadata.name]));
  });
});

describe('the pods', () => {
  test('keep to the restricted pod security standard, write nothing, and have no token', () => {
    for (const owner of [relay, migration]) {
      const pod = owner.spec.template.spec;
      expect(pod).toMatchObject({
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        serviceAccountName: only(example, 'ServiceAccount').metadata.name,
        securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      });
      expect(containerOf(owner).securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
    }
    expect(only(example, 'ServiceAccount').automountServiceAccountToken).toBe(false);
  });

  test('run the same version of one image, whose user they name', () => {
    const images = [relay, migration].map((owner) => containerOf(owner).image);
    expect(new Set(images).size).toBe(1);
    expect(images[0]).toMatch(/:\d+\.\d+\.\d+$/);
    expect(readFileSync(join(ROOT, 'Dockerfile'), 'utf8')).toMatch(/^USER 1000:1000$/m);
  });

  test('ask for memory and bound it, and are not throttled', () => {
    for (const owner of [relay, migration]) {
      const { requests, limits } = containerOf(owner).resources;
      expect(Object.keys(requests).sort()).toEqual(['cpu', 'memory']);
      expect(Object.keys(limits)).toEqual(['memory']);
    }
  });

  test('reach PostgreSQL and NATS at the ports that their URLs name', () => {
    const { egress } = only(example, 'NetworkPolicy', 'postcommit').spec;
    const open = egress.flatMap(({ ports }: { ports: { port: number }[] }) => ports.map(({ port }) => port));
    for (const url of mountedFiles(relay, example).values())
      expect(open).toContain(Number(new URL(url).port));
    expect(open).toContain(53);
  });
});

describe('monitoring', () => {
  test('is no part of the base, whose kinds every cluster knows', () => {
    expect(base.filter(({ apiVersion }) => apiVersion.includes('coreos'))).toEqual([]);
    expect(only(example, 'PodMonitor').spec.podMetricsEndpoints).toEqual([
      expect.objectContaining({ port: containerOf(relay).ports[0].name, path: '/metrics' }),
    ]);
    expect(routePaths()).toContain('/metrics');
  });

  test('lets Prometheus in at that port', () => {
    const [rule] = only(example, 'NetworkPolicy', 'postcommit-monitoring').spec.ingress;
    expect(rule.ports).toEqual([{ port: 'http', protocol: 'TCP' }]);
  });

  test('alerts by the same rules as Prometheus elsewhere: `npm run prometheus-rule` copies them', () => {
    const rules = parse(readFileSync(join(ROOT, 'deploy/prometheus/postcommit.rules.yml'), 'utf8'));
    expect(rules.groups.length).toBeGreaterThan(0);
    expect(only(example, 'PrometheusRule').spec).toEqual(rules);
  });
});
