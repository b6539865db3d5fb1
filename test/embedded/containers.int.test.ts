import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';

// testcontainers finds an engine at its usual place whatever the environment says.
const hasEngine = existsSync('/var/run/docker.sock');

test.runIf(!hasEngine)(
  'without a container engine the container backend fails at once and says so',
  async () => {
    const program = `
    import { startPostgres } from './test/support/backend.ts';
    startPostgres().catch((error) => console.log(JSON.stringify({ code: error.code, hint: error.hint })));
  `;
    const env = {
      ...process.env,
      NODE_OPTIONS: '',
      POSTCOMMIT_TEST_BACKEND: 'containers',
      DOCKER_HOST: 'tcp://127.0.0.1:1',
      HOME: '/nonexistent',
      XDG_RUNTIME_DIR: '/nonexistent',
    };
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const output = Promise.resolve(child.stdout.toArray()).then((chunks) => Buffer.concat(chunks).toString());
    await once(child, 'exit');
    expect(JSON.parse(await output)).toEqual({
      code: 'service-failed',
      hint: expect.stringContaining('Docker'),
    });
  },
);
