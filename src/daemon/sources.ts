import { accessSync, constants, readFileSync } from 'node:fs';
import { messageOf, PostcommitError } from '../errors.ts';
import { onOneLine } from '../telemetry/redact.ts';
import { didYouMean } from './did-you-mean.ts';
import { flagOf, SETTING_KEYS, SETTINGS, type Setting, type SettingKey, settingOf } from './settings.ts';

/** Where settings come from: flags win over the environment, the environment over the file. */
export interface ConfigSources {
  /** By setting key, as in the file, for instance `natsUrl` or `natsPasswordFile`. */
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Path of a JSON file, if one was asked for. */
  readonly file?: string | undefined;
}

/** A setting that somebody gave, by the name they gave it under. */
export interface Given {
  readonly name: string;
  readonly fromFlag: boolean;
  /** @throws Error whose message continues "NAME …", when a file cannot be read. */
  read(): unknown;
}

export interface Collected {
  readonly given: ReadonlyMap<SettingKey, Given>;
  readonly problems: readonly string[];
}

/** Finds out what was given and by whom; `problems` names what nobody knows. */
export function collect({ flags = {}, env, file }: ConfigSources): Collected {
  const problems: string[] = [];
  const layers = [flagLayer(flags), envLayer(env), ...(file === undefined ? [] : fileLayer(file, problems))];
  const given = new Map<SettingKey, Given>();
  for (const layer of layers) {
    problems.push(...layer.unknown());
    for (const key of SETTING_KEYS) {
      const found = find(layer, key, problems);
      if (found !== undefined && !given.has(key)) given.set(key, found);
    }
  }
  return { given, problems };
}

interface Layer {
  nameOf(key: SettingKey, asFile: boolean): string;
  valueOf(key: SettingKey, asFile: boolean): unknown;
  readonly isFlags: boolean;
  unknown(): string[];
}

function find(layer: Layer, key: SettingKey, problems: string[]): Given | undefined {
  const setting = settingOf(key);
  const value = layer.valueOf(key, false);
  const path = setting.alsoAsFile === true ? layer.valueOf(key, true) : undefined;
  const [name, fileName] = [layer.nameOf(key, false), layer.nameOf(key, true)];
  if (value !== undefined && path !== undefined) {
    problems.push(`${name} and ${fileName} are both set; expected one of them`);
  }
  const fromFlag = layer.isFlags && path === undefined;
  if (path !== undefined) return { name: fileName, fromFlag, read: () => readFrom(String(path), setting) };
  if (value !== undefined) return { name, fromFlag, read: () => readValue(value, setting) };
  return undefined;
}

function readValue(value: unknown, setting: Setting): unknown {
  const isPath =
    setting.kind !== undefined && typeof value === 'string' && !/-----BEGIN |^S[A-Z2-7]{57}$/.test(value);
  return isPath ? readFrom(value, setting) : value;
}

function readFrom(path: string, setting: Setting): string {
  try {
    if (setting.kind !== 'pem') return readFileSync(path, 'utf8').trim();
    accessSync(path, constants.R_OK);
    return path;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'permission denied' : code;
    // A secret given where a path was meant must not be echoed.
    throw new Error(`names a file that cannot be read (${why})`);
  }
}

function flagLayer(flags: Readonly<Record<string, unknown>>): Layer {
  return {
    isFlags: true,
    nameOf: (key, asFile) => flagOf(asFile ? `${key}File` : key),
    valueOf: (key, asFile) => flags[asFile ? `${key}File` : key],
    // The command line refuses what it does not know.
    unknown: () => [],
  };
}

function envLayer(env: Readonly<Record<string, string | undefined>>): Layer {
  const nameOf = (key: SettingKey, asFile: boolean) => SETTINGS[key].env + (asFile ? '_FILE' : '');
  return {
    isFlags: false,
    nameOf,
    // Empty is what `${NAME:-}` in a compose file yields for "not set".
    valueOf: (key, asFile) => env[nameOf(key, asFile)] || undefined,
    unknown: () =>
      Object.keys(env)
        .filter((name) => name.startsWith('POSTCOMMIT_') && !isForeign(name) && !ENV_NAMES.includes(name))
        .map((name) => unknownName(name, 'is no setting of postcommit', ENV_NAMES)),
  };
}

const ENV_NAMES = SETTING_KEYS.flatMap((key) => [
  SETTINGS[key].env,
  ...(settingOf(key).alsoAsFile === true ? [`${SETTINGS[key].env}_FILE`] : []),
]);

/** Names that are not ours to judge: our own test runs', and what Kubernetes sets for a Service named `postcommit…`. */
function isForeign(name: string): boolean {
  return /^POSTCOMMIT_(TEST|BENCH)_|_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$/.test(
    name,
  );
}

function fileLayer(path: string, problems: string[]): Layer[] {
  const content = readJsonObject(path, problems);
  if (content === undefined) return [];
  const nameOf = (key: string, asFile: boolean) => `${asFile ? `${key}File` : key} in ${path}`;
  return [
    {
      isFlags: false,
      nameOf,
      valueOf: (key, asFile) => content[asFile ? `${key}File` : key] ?? undefined,
      unknown: () =>
        Object.keys(content)
          .filter((key) => key !== '$schema' && !FILE_KEYS.includes(key))
          .map((key) => unknownName(key, `in ${path} is no setting of postcommit`, FILE_KEYS)),
    },
  ];
}

const FILE_KEYS = SETTING_KEYS.flatMap((key) => [
  key,
  ...(settingOf(key).alsoAsFile === true ? [`${key}File`] : []),
]);

function readJsonObject(path: string, problems: string[]): Record<string, unknown> | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    problems.push(`--config ${path} cannot be read: ${messageOf(error)}`);
    return undefined;
  }
  try {
    const content: unknown = JSON.parse(text);
    if (typeof content === 'object' && content !== null && !Array.isArray(content)) return { ...content };
  } catch {
    // JSON.parse quotes the text around the error, which may be a secret.
  }
  problems.push(`--config ${path} is not a JSON object; expected {"stream": "postcommit", …}`);
  return undefined;
}

function unknownName(name: string, what: string, known: readonly string[]): string {
  const near = didYouMean(name, known);
  return `${name} ${what}${near === undefined ? '' : `; did you mean ${near}?`}`;
}

/** The name a setting was given under, else its variable. */
export function nameOf(collected: Collected, key: SettingKey): string {
  return collected.given.get(key)?.name ?? SETTINGS[key].env;
}

/** Reads files again at each call. @throws PostcommitError `config-invalid` when one that was there is gone. */
export function readGiven(collected: Collected, key: SettingKey): unknown {
  try {
    return collected.given.get(key)?.read();
  } catch (error) {
    throw invalidConfig([`${nameOf(collected, key)} ${messageOf(error)}`]);
  }
}

export function invalidConfig(problems: readonly string[]): PostcommitError {
  const lines = problems.map(onOneLine);
  const message =
    lines.length === 1
      ? `the configuration is invalid: ${lines[0]}`
      : `the configuration has ${lines.length} problems:${lines.map((text) => `\n  - ${text}`).join('')}`;
  return new PostcommitError('config-invalid', message, 'The --help of the command lists every setting.');
}
