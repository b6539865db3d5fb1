// Generates the Prisma client that an example and its tests import; it is too large to be committed. Does nothing where
// it is newer than its schema and the installed packages. Plain JavaScript, before anything is compiled.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const schema = join(root, 'examples', '11-adapters', 'schema.prisma');
const generated = join(root, 'examples', '11-adapters', 'generated', 'client.ts');
const installed = join(root, 'node_modules', '.package-lock.json');

if (!isUpToDate()) generate();

function isUpToDate() {
  if (!existsSync(generated)) return false;
  const { mtimeMs } = statSync(generated);
  return [schema, installed].every((source) => !existsSync(source) || statSync(source).mtimeMs <= mtimeMs);
}

function generate() {
  const cli = join(root, 'node_modules', 'prisma', 'build', 'index.js');
  const env = {
    ...process.env,
    // The command looks for an engine that it does not use here, and would download one: any program there is will do.
    PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
    CHECKPOINT_DISABLE: '1',
    PRISMA_HIDE_UPDATE_MESSAGE: '1',
  };
  const options = { cwd: root, env, encoding: 'utf8' };
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [cli, 'generate', '--no-hints', '--schema', schema],
    options,
  );
  if (status === 0) return;
  console.error(`setup: the Prisma client could not be generated\n\n${stdout ?? ''}${stderr ?? ''}`);
  process.exitCode = 1;
}
