import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadDatabaseConfig, loadRelayConfig, type RelayConfig } from '../../src/daemon/config.ts';
import { type SETTING_KEYS, settingOf } from '../../src/daemon/settings.ts';
import type { ConfigSources } from '../../src/daemon/sources.ts';
import { checkCredentials, parseServers, tlsOptions } from '../../src/jetstream/settings.ts';
import { checkSubjectPattern } from '../../src/jetstream/subjects.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { expectClearConfig } from './clear-refusal.ts';
import { type GeneratedConfig, generatedConfig, SECRET } from './config-arbitrary.ts';
import { howMany, seedFor } from './seed.ts';

let folder: string;
let paths: string[];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'postcommit-generated-'));
  mkdirSync(join(folder, 'a-folder'));
  const contents = {
    url: 'postgres://u:hunter2@127.0.0.1:1/db',
    nats: 'nats://127.0.0.1:1',
    token: SECRET,
    empty: '',
  };
  for (const [name, content] of Object.entries(contents)) writeFileSync(join(folder, name), content);
  paths = [...Object.keys(contents), 'a-folder', 'nowhere'].map((name) => join(folder, name));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('every generated configuration is usable, or refused by name without its secrets', () => {
  let [usable, refused] = [0, 0];
  const property = (generated: GeneratedConfig) => {
    const sources = toSources(generated);
    const outcome = load(sources);
    if (outcome instanceof Error) {
      expectClearConfig(outcome);
      refused++;
    } else {
      expectUsable(outcome, sources);
      usable++;
    }
  };
  const numRuns = howMany(10_000);
  fc.assert(fc.property(generatedConfig({ paths }), property), { seed: seedFor('configurations'), numRuns });
  expect(usable).toBeGreaterThan(numRuns / 20);
  expect(refused).toBeGreaterThan(numRuns / 4);
});

function toSources({ settings, strangers, brokenFile }: GeneratedConfig): ConfigSources {
  const env: Record<string, string> = { ...strangers };
  const flags: Record<string, unknown> = {};
  const content: Record<string, unknown> = {};
  for (const { key, through, asFile, value } of settings) {
    const name = asFile ? `${key}File` : key;
    if (through === 'env') env[settingOf(key).env + (asFile ? '_FILE' : '')] = String(value);
    else if (through === 'flag' && isFlag(key, asFile)) flags[name] = value;
    else content[name] = value;
  }
  if (brokenFile === undefined && Object.keys(content).length === 0) return { env, flags };
  const file = join(folder, 'postcommit.json');
  writeFileSync(file, brokenFile ?? JSON.stringify(content));
  return { env, flags, file };
}

/** The command line has no flag for the value of a secret. */
function isFlag(key: (typeof SETTING_KEYS)[number], asFile: boolean): boolean {
  return asFile ? settingOf(key).secret !== undefined : settingOf(key).secret !== 'value';
}

function load(sources: ConfigSources): RelayConfig | Error {
  try {
    return loadRelayConfig(sources);
  } catch (error) {
    return error as Error;
  }
}

/** Nothing that a start would only stumble over later. */
function expectUsable(config: RelayConfig, sources: ConfigSources): void {
  const settings = config.natsSettings();
  expect(parseServers(settings.servers).length).toBeGreaterThan(0);
  checkCredentials(settings);
  tlsOptions(settings);
  expect(config.databaseUrl()).toMatch(/^postgres(ql)?:\/\//);
  expect(loadDatabaseConfig(sources).databaseUrl()).toBe(config.databaseUrl());
  new pg.Client({ connectionString: config.databaseUrl() });
  createLogger({ level: config.logLevel, destination: { write: () => undefined } });
  expect(config.lanes.length).toBeGreaterThan(0);
  for (const { stream, subjects } of config.lanes) {
    expect(stream).toMatch(/^[^\s.*>/\\\p{Cc}]{1,255}$/u);
    expect(subjects.map(checkSubjectPattern)).toEqual(subjects.map(() => undefined));
    expect(subjects.length).toBeGreaterThan(0);
  }
  expect(Number.isSafeInteger(config.retentionMs) && config.retentionMs >= 1_000).toBe(true);
  if (config.http !== null) expect(config.http.host).toMatch(/^[^\s\p{Cc}]+$/u);
}
