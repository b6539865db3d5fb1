// Run by setup.mjs on the Node of node_modules, which runs TypeScript. Makes sure that the servers the tests
// and the demo start are here, so that a missing one shows up before anything else happens.
import { findPostgres } from '../src/embedded/find-postgres.ts';
import { postgresIdentity } from '../src/embedded/identity.ts';
import { ensureNatsServer } from '../src/embedded/install-nats-server.ts';
import { deployTool, TOOL_NAMES } from '../test/support/deploy-tools.ts';
import { ensureChromium } from '../test/support/install-chromium.ts';
import { ensurePrometheus } from '../test/support/install-prometheus.ts';
import { NATS_VERSIONS, natsServerOf } from '../test/support/nats-server-versions.ts';

const { DATABASE_URL, NATS_URL } = process.env;

try {
  await Promise.all([DATABASE_URL || checkPostgres(), NATS_URL || ensureNatsServer({ onInstall })]);
} catch (error) {
  console.error(`setup: ${error.message}\n\n${error.hint ?? ''}`);
  process.exitCode = 1;
}
if (process.argv.includes('tests')) await fetchVersions();

async function checkPostgres() {
  await findPostgres({ identity: await postgresIdentity() });
}

function onInstall(way) {
  console.error(`setup: no nats-server found, trying: ${way}`);
}

/** What is missing here fails the tests that need it, with all others run. */
async function fetchVersions() {
  const fetches = [
    ...NATS_VERSIONS.map((version) => () => natsServerOf(version)),
    ensureChromium,
    () => ensurePrometheus('promtool'),
    ...TOOL_NAMES.map((name) => () => deployTool(name)),
  ];
  for (const fetch of fetches) {
    try {
      await fetch();
    } catch (error) {
      console.error(`setup: ${error.message}\n\n${error.hint ?? ''}`);
    }
  }
}
