import { checkCredentials, type NatsSettings, type TlsSettings } from '../jetstream/settings.ts';
import type { SettingKey } from './settings.ts';
import { type Collected, nameOf, readGiven } from './sources.ts';

const LOGINS = ['natsCreds', 'natsNkey', 'natsToken', 'natsUser'] as const;

/** What no single setting shows. Runs only when each of them is right by itself. */
export function natsProblems(collected: Collected): string[] {
  const name = (key: SettingKey) => nameOf(collected, key);
  const has = (key: SettingKey) => collected.given.has(key);
  const problems: string[] = [];
  const logins = LOGINS.filter(has).map(name);
  if (logins.length > 1) problems.push(`${logins.join(' and ')} are all set; expected one way to log in`);
  if (has('natsPassword') && !has('natsUser'))
    problems.push(`${name('natsPassword')} is set without NATS_USER; expected both`);
  if (has('natsCert') !== has('natsKey')) {
    const [one, other] = has('natsCert') ? [name('natsCert'), 'NATS_KEY'] : [name('natsKey'), 'NATS_CERT'];
    problems.push(`${one} is set without ${other}; expected both`);
  }
  return problems.length > 0 ? problems : loginProblems(collected);
}

function loginProblems(collected: Collected): string[] {
  try {
    checkCredentials(natsSettings(collected));
    return [];
  } catch (error) {
    return [
      `${LOGINS.filter((key) => collected.given.has(key)).map((key) => nameOf(collected, key))[0]}: ${(error as Error).message}`,
    ];
  }
}

/** Reads files again at each call. @throws PostcommitError `config-invalid` when one is gone. */
export function natsSettings(collected: Collected): NatsSettings {
  const optional = (key: SettingKey) =>
    collected.given.has(key) ? String(readGiven(collected, key)) : undefined;
  const servers = readGiven(collected, 'natsUrl');
  const tls: TlsSettings = defined({
    ca: optional('natsCa'),
    cert: optional('natsCert'),
    key: optional('natsKey'),
    first: optional('natsTlsFirst') === 'true' ? true : undefined,
  });
  return {
    servers: Array.isArray(servers)
      ? servers
      : String(servers)
          .split(',')
          .map((server) => server.trim()),
    ...defined({
      creds: optional('natsCreds'),
      user: optional('natsUser'),
      password: optional('natsPassword'),
      token: optional('natsToken'),
      nkeySeed: optional('natsNkey'),
      inboxPrefix: optional('natsInboxPrefix'),
    }),
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
  };
}

function defined<T extends object>(entries: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
