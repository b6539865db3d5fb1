import { z } from 'zod';
import { messageOf } from '../errors.ts';
import type { NatsSettings } from '../jetstream/settings.ts';
import { didYouMean } from './did-you-mean.ts';
import { natsProblems, natsSettings } from './nats-config.ts';
import { type SettingKey, settingOf } from './settings.ts';
import { type Collected, type ConfigSources, collect, invalidConfig, nameOf, readGiven } from './sources.ts';
import * as values from './values.ts';

export interface LaneConfig {
  readonly stream: string;
  readonly subjects: readonly string[];
  readonly ordering: 'stream' | 'key' | 'none';
  readonly deadLetters: 'skip' | 'hold';
}

export interface DatabaseConfig {
  /** Reads DATABASE_URL_FILE again at each call, so that a rotated password is taken up at the next connect. */
  readonly databaseUrl: () => string;
  readonly logLevel: string;
}

export interface RelayConfig extends DatabaseConfig {
  /** Reads the files of secrets again at each call. */
  readonly natsSettings: () => NatsSettings;
  readonly lanes: readonly LaneConfig[];
  readonly provision: boolean;
  readonly source: string | undefined;
  readonly cloudEvents: 'off' | 'binary';
  /** Null when it is off. */
  readonly http: values.HttpAddress | null;
  readonly retentionMs: number;
  /** Names that the console answers to besides addresses; null when it is off. */
  readonly consoleHosts: readonly string[] | null;
  /** Reads POSTCOMMIT_CONSOLE_TOKEN_FILE again at each call. Null: the console shows, and changes nothing. */
  readonly consoleToken: () => string | null;
}

const databaseShape = {
  databaseUrl: values.postgresUrl,
  logLevel: values.logLevel.default('info'),
};

const databaseSchema = z.object(databaseShape);

const brokerShape = {
  natsUrl: values.natsServers,
  natsCreds: values.plainText.optional(),
  natsUser: values.plainText.optional(),
  natsPassword: values.plainText.optional(),
  natsToken: values.plainText.optional(),
  natsNkey: values.plainText.optional(),
  natsCa: values.plainText.optional(),
  natsCert: values.plainText.optional(),
  natsKey: values.plainText.optional(),
  natsTlsFirst: values.trueOrFalse.default(false),
  natsInboxPrefix: values.subjectPrefix.optional(),
  stream: values.streamName.default('postcommit'),
  subjects: values.subjectList.default(['events.>']),
  ordering: values.ordering.default('stream'),
  deadLetters: values.deadLetters.default('skip'),
  lanes: values.laneList.optional(),
};

const brokerSchema = z.object(brokerShape);

const lookSchema = z.object({ ...databaseShape, ...brokerShape });

const relaySchema = z.object({
  ...databaseShape,
  ...brokerShape,
  provision: values.trueOrFalse.default(true),
  source: values.sourceName.optional(),
  cloudEvents: values.cloudEvents.default('off'),
  console: values.consoleHosts.default([]),
  consoleToken: values.consoleToken.optional(),
  http: values.httpAddress.default({ host: '127.0.0.1', port: 9465 }),
  retention: values.retention.default(86_400_000),
});

/** What a command that only needs the database reads. @throws PostcommitError `config-invalid` with every problem. */
export function loadDatabaseConfig(sources: ConfigSources): DatabaseConfig {
  const collected = collect(sources);
  const { logLevel } = parse(collected, databaseSchema);
  return { logLevel, databaseUrl: () => String(readGiven(collected, 'databaseUrl')) };
}

/** What a command that only needs NATS reads. @throws PostcommitError `config-invalid` with every problem. */
export function loadBrokerConfig(sources: ConfigSources): Pick<RelayConfig, 'natsSettings' | 'lanes'> {
  const collected = collect(sources);
  const parsed = parse(collected, brokerSchema, relayProblems);
  return { lanes: lanesIn(parsed), natsSettings: () => natsSettings(collected) };
}

function lanesIn({ lanes, ...lane }: z.output<typeof brokerSchema>): readonly LaneConfig[] {
  const { stream, subjects, ordering, deadLetters } = lane;
  return lanes ?? [{ stream, subjects, ordering, deadLetters }];
}

/** What a command that looks at both servers reads. @throws PostcommitError `config-invalid` with every problem. */
export function loadLookConfig(
  sources: ConfigSources,
): Pick<RelayConfig, 'databaseUrl' | 'natsSettings' | 'lanes'> {
  const collected = collect(sources);
  const parsed = parse(collected, lookSchema, relayProblems);
  return {
    lanes: lanesIn(parsed),
    databaseUrl: () => String(readGiven(collected, 'databaseUrl')),
    natsSettings: () => natsSettings(collected),
  };
}

/** The whole configuration of a relay. @throws PostcommitError `config-invalid` with every problem. */
export function loadRelayConfig(sources: ConfigSources): RelayConfig {
  const collected = collect(sources);
  const parsed = parse(collected, relaySchema, relayProblems);
  const { logLevel, provision, source, cloudEvents, http } = parsed;
  return {
    logLevel,
    provision,
    source,
    cloudEvents,
    http,
    retentionMs: parsed.retention,
    lanes: lanesIn(parsed),
    databaseUrl: () => String(readGiven(collected, 'databaseUrl')),
    natsSettings: () => natsSettings(collected),
    consoleHosts: parsed.console,
    consoleToken: () => {
      const token = readGiven(collected, 'consoleToken');
      return typeof token === 'string' && token !== '' ? token : null;
    },
  };
}

function parse<Schema extends z.ZodObject>(
  collected: Collected,
  schema: Schema,
  moreProblems: (collected: Collected) => string[] = () => [],
): z.output<Schema> {
  const { input, unreadable } = readAll(collected, Object.keys(schema.shape) as SettingKey[]);
  const result = schema.safeParse(input);
  const issues = (result.error?.issues ?? []).filter(({ path }) => !unreadable.has(path[0] as SettingKey));
  const problems = [
    ...collected.problems,
    ...unreadable.values(),
    ...Object.entries(input).flatMap(([key, value]) => argvProblems(collected, key as SettingKey, value)),
    ...issues.map((issue) => describe(issue, collected, input)),
  ];
  if (problems.length === 0) problems.push(...moreProblems(collected));
  if (problems.length > 0 || result.data === undefined) throw invalidConfig(problems);
  return result.data as z.output<Schema>;
}

function readAll(collected: Collected, keys: readonly SettingKey[]) {
  const input: Record<string, unknown> = {};
  const unreadable = new Map<SettingKey, string>();
  for (const key of keys) {
    try {
      input[key] = collected.given.get(key)?.read();
    } catch (error) {
      unreadable.set(key, `${nameOf(collected, key)} ${messageOf(error)}`);
    }
  }
  return { input, unreadable };
}

/** "POSTCOMMIT_RETENTION ("24 hours") is no duration; expected a whole number and …" */
function describe(issue: z.core.$ZodIssue, collected: Collected, input: Record<string, unknown>): string {
  const [key, ...inner] = issue.path as [SettingKey, ...(string | number)[]];
  const setting = settingOf(key);
  const given = input[key];
  const shown =
    setting.secret !== undefined || typeof given !== 'string' ? '' : ` (${JSON.stringify(given)})`;
  const where =
    key === 'lanes'
      ? inner.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('')
      : '';
  return `${nameOf(collected, key)}${where}${shown} ${whatIsWrong(issue)}; expected ${setting.expected}`;
}

function whatIsWrong(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'unrecognized_keys') return issue.message;
  const near = issue.keys.map((key) => didYouMean(key, ['stream', 'subjects', 'ordering', 'deadLetters']));
  const hint = near[0] === undefined ? '' : ` (did you mean "${near[0]}"?)`;
  return `has an unknown key "${issue.keys.join('", "')}"${hint}`;
}

/** The list of processes shows every flag to everyone on the machine. */
function argvProblems(collected: Collected, key: SettingKey, value: unknown): string[] {
  const given = collected.given.get(key);
  const credentials = key === 'natsUrl' ? /@/ : /:\/\/[^@]*:.*@|[?&](ssl)?password=/;
  if (given?.fromFlag !== true || settingOf(key).secret !== 'url' || !credentials.test(String(value)))
    return [];
  return [
    `${given.name} holds credentials, which everyone on this machine can read in the list of processes; expected them in ${settingOf(key).env} or in a file named by ${given.name}-file`,
  ];
}

/** What no single setting shows. Runs only when each of them is right by itself. */
function relayProblems(collected: Collected): string[] {
  const instead = (['stream', 'subjects', 'ordering', 'deadLetters'] as const).filter((key) =>
    collected.given.has(key),
  );
  if (!collected.given.has('lanes') || instead.length === 0) return natsProblems(collected);
  const names = instead.map((key) => nameOf(collected, key)).join(', ');
  return [
    `${nameOf(collected, 'lanes')} is set beside ${names}; expected one or the other`,
    ...natsProblems(collected),
  ];
}
