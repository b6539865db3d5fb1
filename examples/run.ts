import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { startNats, startPostgres } from '../src/embedded/index.ts';
import { migrate } from '../src/migrate/index.ts';

const USAGE = `npm run example -- NAME

Runs an example on a PostgreSQL and a NATS of its own, or on those of DATABASE_URL and NATS_URL: give it empty ones,
it makes tables and streams.
  NAME   its number or a part of its name: ${names().join(', ')}`;

const [wanted = ''] = process.argv.slice(2);
const name = names().find((each) => wanted !== '' && each.includes(wanted));
if (name === undefined) {
  process.stderr.write(`${wanted === '' ? '' : `There is no example '${wanted}'.\n`}${USAGE}\n`);
  process.exit(2);
}
process.exitCode = await run(name);

async function run(example: string): Promise<number> {
  const { DATABASE_URL, NATS_URL } = process.env;
  await using postgres = DATABASE_URL ? undefined : await startPostgres();
  await using nats = NATS_URL ? undefined : await startNats();
  const env = {
    ...process.env,
    DATABASE_URL: DATABASE_URL || (postgres?.url ?? ''),
    NATS_URL: NATS_URL || (nats?.url ?? ''),
  };
  await migrate({ url: env.DATABASE_URL });
  const main = new URL(`${example}/main.ts`, import.meta.url).pathname;
  // With this condition `postcommit` is the source next door. In a project of yours it is the package.
  const child = spawn(process.execPath, ['-C', 'postcommit-source', main], { env, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

function names(): string[] {
  return readdirSync(new URL('.', import.meta.url))
    .filter((each) => /^\d\d-/.test(each))
    .sort();
}
