import { expect, test } from 'vitest';
import { parseDuration } from '../../src/daemon/values.ts';
import { freePort } from '../../src/embedded/index.ts';
import { startCli } from '../support/cli.ts';
import { createMigratedDatabase, natsUrl, scratchName } from '../support/services.ts';
import { deleteStream } from './delete-stream.ts';
import { buildManifests, only } from './manifests.ts';
import { containerOf, environmentOf, mountedFiles } from './pods.ts';
import { mountFiles } from './relay-settings.ts';

test('the relays of the manifests answer their probes, the leader and the standby, and stop in time', async () => {
  const manifests = await buildManifests('deploy/kubernetes/overlays/example');
  const deployment = only(manifests, 'Deployment');
  const { args, startupProbe, livenessProbe, readinessProbe } = containerOf(deployment);
  await using after = new AsyncDisposableStack();
  const database = await createMigratedDatabase();
  after.defer(() => database.drop());
  const stream = scratchName('probes');
  after.defer(() => deleteStream(stream));
  // The secrets of this machine at the places of the cluster's.
  const files = mountedFiles(deployment, manifests);
  files.set('/var/run/secrets/postcommit/database-url', database.url);
  files.set('/var/run/secrets/postcommit/nats-url', natsUrl());
  const mounted = await mountFiles(files);
  after.defer(() => mounted.remove());
  const startPod = async () => {
    const http = `127.0.0.1:${await freePort()}`;
    const relay = startCli(args, {
      ...mounted.rewrite(environmentOf(deployment, manifests)),
      POSTCOMMIT_STREAM: stream,
      POSTCOMMIT_SUBJECTS: `${stream}.>`,
      POSTCOMMIT_HTTP: http,
    });
    return { relay: after.use(relay), http };
  };
  const pods = [await startPod(), await startPod()];
  const roles = await Promise.all(pods.map(({ relay }) => relay.line('ready').then(({ role }) => role)));
  expect(roles.sort()).toEqual(['leader', 'standby']);
  for (const { http } of pods)
    for (const { httpGet, timeoutSeconds } of [startupProbe, livenessProbe, readinessProbe]) {
      const signal = AbortSignal.timeout(timeoutSeconds * 1_000);
      const response = await fetch(`http://${http}${httpGet.path}`, { signal });
      expect([httpGet.path, response.status]).toEqual([httpGet.path, 200]);
    }
  for (const { relay } of pods) {
    relay.process.kill('SIGTERM');
    expect(await relay.line('stopping')).toMatchObject({ graceMs: parseDuration(args[2]) });
    expect(await relay.exit).toBe(0);
  }
});
