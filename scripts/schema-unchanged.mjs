// Fails when the Drizzle schema files and migrations/ disagree, that is: when `drizzle-kit generate`, run on a copy,
// would write a migration.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), 'postcommit-schema-'));
try {
  const out = join(temporary, 'migrations');
  cpSync(join(root, 'migrations'), out, { recursive: true });
  const before = readdirSync(out);
  const { status, output } = generate(out);
  const added = readdirSync(out).filter((name) => !before.includes(name));
  if (status !== 0 || added.length > 0 || !output.includes('No schema changes')) {
    console.error(output);
    console.error(
      added.length > 0
        ? `error: the schema files and migrations/ disagree: drizzle-kit would write ${added.join(', ')}\nhint: npx drizzle-kit generate, then add by hand what Drizzle cannot say`
        : 'error: drizzle-kit generate failed',
    );
    process.exitCode = 1;
  }
} finally {
  rmSync(temporary, { recursive: true, force: true });
}

function generate(out) {
  const config = join(temporary, 'drizzle.config.ts');
  const original = JSON.stringify(join(root, 'drizzle.config.ts'));
  // drizzle-kit puts `./` in front of `out`, also of an absolute one.
  const relativeOut = JSON.stringify(relative(root, out));
  writeFileSync(
    config,
    `import original from ${original};\nexport default { ...original, out: ${relativeOut} };\n`,
  );
  const bin = join(root, 'node_modules', 'drizzle-kit', 'bin.cjs');
  // A terminal would make it ask about renames; here it has to fail instead.
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, 'generate', '--config', config], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return { status, output: stdout + stderr };
}
