import { describe, expect, test } from 'vitest';
import { type Env, runCli } from '../support/cli.ts';
import { createFileFolder } from '../support/file-folder.ts';
import { startRelay } from '../support/relay-under-test.ts';
import { createMigratedDatabase, startNats } from '../support/services.ts';
import { LOGIN_KINDS } from './logins.ts';

describe.each(Object.entries(LOGIN_KINDS))('%s', (_, { setting, besides = {}, create }) => {
  test(`a relay logs in with it, by ${setting} and by ${setting}_FILE; with another it says what to look at, and shows neither`, async () => {
    await using files = await createFileFolder();
    const [right, wrong] = [create(), create()];
    await using nats = await startNats({ config: right.config });
    const database = await createMigratedDatabase();
    const common = { DATABASE_URL: database.url, NATS_URL: nats.url, ...besides };
    const ways: [env: Env, secret: string][] = [];
    for (const { secret } of [right, wrong]) {
      const file = await files.put(secret === right.secret ? 'right' : 'wrong', `${secret}\n`);
      ways.push([{ [setting]: secret }, secret], [{ [`${setting}_FILE`]: file }, secret]);
    }
    for (const [given, secret] of ways) {
      const env = { ...common, ...given };
      if (secret === right.secret) await expectPublishing(env, database.url);
      else await expectRefusal(env, secret);
    }
    await expectRefusal(common, wrong.secret); // And without any.
    await database.drop();
  });
});

test('user and password in NATS_URL', async () => {
  await using files = await createFileFolder();
  const password = "p@ss/w:rd%'#?";
  await using nats = await startNats({ config: `authorization { user: relay, password: "${password}" }` });
  const database = await createMigratedDatabase();
  const url = nats.url.replace('//', `//relay:${encodeURIComponent(password)}@`);
  const common = { DATABASE_URL: database.url };
  await expectPublishing({ ...common, NATS_URL: url }, database.url);
  await expectPublishing({ ...common, NATS_URL_FILE: await files.put('url', url) }, database.url);
  await expectRefusal({ ...common, NATS_URL: url.replace('relay', 'reIay') }, encodeURIComponent(password));
  await database.drop();
});

async function expectPublishing(env: Env, adminUrl: string): Promise<void> {
  await using relay = await startRelay(env, adminUrl);
  await relay.publishes();
  relay.cli.process.kill('SIGTERM');
  expect(await relay.cli.exit).toBe(0);
}

async function expectRefusal(env: Env, secret: string): Promise<void> {
  const { code, stdout, stderr } = await runCli(['relay'], {
    ...env,
    POSTCOMMIT_HTTP: 'off',
    LOG_LEVEL: 'trace',
  });
  expect(stderr).toMatch(/^error: cannot connect to NATS at 127\.0\.0\.1:\d+: Authorization Violation\n/);
  expect(stderr).toMatch(/^hint: Check NATS_CREDS, NATS_USER and NATS_PASSWORD, NATS_TOKEN or NATS_NKEY\.$/m);
  for (const line of secret.split('\n').filter((text) => !/^-|^$/.test(text)))
    expect(stdout + stderr).not.toContain(line);
  expect(code).toBe(4);
}
