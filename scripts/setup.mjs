// Makes a fresh checkout ready: packages, a PostgreSQL, a nats-server. npm runs it before demo, test and bench.
// With the argument `tests` also what only they need. Plain JavaScript without packages, for whatever Node the machine
// has; does nothing when all is there.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MIN_NODE_MAJOR = 18;

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const lockfile = join(root, 'package-lock.json');
const installed = join(root, 'node_modules', '.package-lock.json');
const projectNode = join(root, 'node_modules', '.bin', 'node');

checkNode();
if (!isUpToDate()) installPackages();
checkProjectNode();
ensureServices();
if (process.argv.includes('tests')) generateCode();

function checkNode() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < MIN_NODE_MAJOR)
    fail(
      `Node ${process.versions.node} is too old to install the packages.`,
      `Install Node ${MIN_NODE_MAJOR} or newer.`,
    );
}

function isUpToDate() {
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(lockfile).mtimeMs;
}

function installPackages() {
  console.error('setup: installing packages (npm ci)');
  const { status } = runNpm(['ci', '--loglevel=error']);
  if (status !== 0)
    fail(
      'npm ci failed, see above.',
      'If it could not reach the npm registry, repeat; if it found package-lock.json out of date, run npm install.',
    );
}

/** The Node of node_modules (npm package `node`) runs everything after this script, whatever the machine has. */
function checkProjectNode() {
  if (projectNodeRuns()) return;
  // Packages installed with --ignore-scripts lack the binaries that scripts put in place.
  console.error('setup: completing packages (npm rebuild)');
  runNpm(['rebuild', '--loglevel=error']);
  if (!projectNodeRuns())
    fail(
      'The Node of node_modules does not run.',
      'Install packages with their scripts (npm ci --ignore-scripts=false), or remove node_modules and repeat.',
    );
}

function projectNodeRuns() {
  return spawnSync(projectNode, ['--version'], { stdio: 'ignore' }).status === 0;
}

function ensureServices() {
  const script = join(root, 'scripts', 'ensure-services.mjs');
  const { status } = spawnSync(projectNode, [script, ...process.argv.slice(2)], { stdio: 'inherit' });
  if (status !== 0) process.exit(1);
}

/** What is missing fails the tests that need it, with all others run. */
function generateCode() {
  spawnSync(projectNode, [join(root, 'scripts', 'prisma-client.mjs')], { stdio: 'inherit' });
}

function runNpm(args) {
  // npm tells its scripts where it is; its own messages belong on stderr, like ours.
  const npm = process.env.npm_execpath;
  const [command, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  return spawnSync(command, [...first, ...args], { cwd: root, stdio: ['ignore', 2, 2] });
}

function fail(what, next) {
  console.error(`setup: ${what}\n\n${next}`);
  process.exit(1);
}
