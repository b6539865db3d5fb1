import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { resolveOptions } from '../../src/consumer/options.ts';
import { loadRelayConfig } from '../../src/daemon/config.ts';
import { flagOf, settingOf } from '../../src/daemon/settings.ts';
import type { ConfigSources } from '../../src/daemon/sources.ts';
import { expectClearConfig } from '../generated/clear-refusal.ts';
import { SECRET } from '../generated/config-arbitrary.ts';
import { COMBINATIONS } from './combinations.ts';
import { type HostileSetting, type SettingVerdict, SOUND, titleOf } from './hostile-setting.ts';
import { IDENTIFIERS, NAMES } from './identifiers.ts';
import { SETTING_VALUES } from './settings.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'postcommit-curated-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(text: string): string {
  const path = join(folder, 'postcommit.json');
  writeFileSync(path, text);
  return path;
}

test.each([
  ['settings', SETTING_VALUES, 30],
  ['combinations', COMBINATIONS, 20],
  ['identifiers', IDENTIFIERS, 30],
] as const)('the table of %s has what it promises, of both verdicts, no two alike', (_, table, least) => {
  expect(table.length).toBeGreaterThanOrEqual(least);
  expect(new Set(table.map(({ verdict }) => verdict instanceof RegExp)).size).toBe(2);
  expect(new Set(table.map(titleOf)).size).toBe(table.length);
});

/** A way to give one setting, and the name that it has there. */
interface Door {
  readonly name: string;
  sources(): ConfigSources;
}

/** Those that the value can be given through. */
function doorsFor({ key, value }: HostileSetting): Door[] {
  const { [settingOf(key).env]: _, ...others } = SOUND as Record<string, string>;
  const path = join(folder, 'postcommit.json');
  const doors: Door[] = [
    {
      name: `${key} in ${path}`,
      sources: () => ({ env: others, file: fileOf(JSON.stringify({ [key]: value })) }),
    },
  ];
  if (typeof value !== 'string') return doors;
  if (value !== '')
    doors.push({
      name: settingOf(key).env,
      sources: () => ({ env: { ...others, [settingOf(key).env]: value } }),
    });
  // Secrets are no flags, and what those say to one is another entry's matter.
  if (settingOf(key).secret === undefined)
    doors.push({ name: flagOf(key), sources: () => ({ env: others, flags: { [key]: value } }) });
  return doors;
}

test.each([...SETTING_VALUES, ...IDENTIFIERS].map((entry) => [titleOf(entry), entry] as const))(
  '%s',
  (_, entry) => {
    for (const { name, sources } of doorsFor(entry)) {
      const message = expectVerdict(sources(), entry.verdict);
      expect(message?.replace('the configuration is invalid: ', '').startsWith(name) ?? true, message).toBe(
        true,
      );
    }
  },
);

test.each(COMBINATIONS.map((entry) => [titleOf(entry), entry] as const))(
  'together, %s',
  (_, { env, flags = {}, file, verdict }) => {
    const sources = { env: { ...SOUND, ...env }, flags };
    expectVerdict(file === undefined ? sources : { ...sources, file: fileOf(file) }, verdict);
  },
);

test.each(
  (['stream', 'durable'] as const).flatMap((option) =>
    NAMES.map(([about, name, verdict]) => [option, verdict, about, name] as const),
  ),
)('consume(), %s, %s: %s', (option, verdict, _, name) => {
  const options = { nats: 'nats://a', stream: 'a', durable: 'a', db: {} as never, [option]: name };
  const resolve = () => resolveOptions(options);
  if (verdict === 'taken') expect(resolve()).toMatchObject({ [option]: name });
  else expect(resolve).toThrow(`\`${option}\` must be a name without blanks, dots, slashes`);
});

/** The message of a refusal. */
function expectVerdict(sources: ConfigSources, verdict: SettingVerdict): string | undefined {
  let config: ReturnType<typeof loadRelayConfig>;
  try {
    config = loadRelayConfig(sources);
  } catch (error) {
    const { message, stack } = error as Error;
    expect(message).toMatch(verdict instanceof RegExp ? verdict : /^it is taken$/);
    expectClearConfig(error as Error);
    expect(stack).not.toContain(SECRET);
    return message;
  }
  const { databaseUrl, natsSettings, ...rest } = config;
  expect({ ...rest, databaseUrl: databaseUrl(), nats: natsSettings() }).toMatchObject(verdict);
  return undefined;
}
