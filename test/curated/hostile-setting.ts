import type { RelayConfig } from '../../src/daemon/config.ts';
import type { SettingKey } from '../../src/daemon/settings.ts';
import { SECRET } from '../generated/config-arbitrary.ts';

/** A configuration that was accepted, what it reads anew at each connect among it. */
export interface Taken extends Omit<RelayConfig, 'databaseUrl' | 'natsSettings' | 'lanes'> {
  readonly databaseUrl: string;
  readonly nats: Partial<ReturnType<RelayConfig['natsSettings']>>;
  readonly lanes: readonly Partial<RelayConfig['lanes'][number]>[];
}

/** Taken as this, or refused under the name it was given by, in words that hold the reason. */
export type SettingVerdict = Partial<Taken> | RegExp;

/** One hostile value in a configuration that has nothing else wrong with it. */
export interface HostileSetting {
  readonly about: string;
  readonly key: SettingKey;
  /** The environment and flags know texts only, and an empty variable is one that is not set. */
  readonly value: unknown;
  readonly verdict: SettingVerdict;
}

/** What is only wrong, or only right, together. */
export interface HostileCombination {
  readonly about: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: Readonly<Record<string, unknown>>;
  /** The text of the configuration file. */
  readonly file?: string;
  readonly verdict: SettingVerdict;
}

export const SOUND = {
  DATABASE_URL: `postgres://app:${SECRET}@127.0.0.1:1/db`,
  NATS_URL: `nats://app:${SECRET}@127.0.0.1:1`,
};

/** Entries of one setting, written as what is hostile, the value, and the verdict. */
export function settings(
  key: SettingKey,
  rows: readonly (readonly [about: string, value: unknown, verdict: SettingVerdict])[],
): HostileSetting[] {
  return rows.map(([about, value, verdict]) => ({ about, key, value, verdict }));
}

/** Each names the setting, what is hostile about it, and what comes of it. */
export function titleOf(entry: HostileSetting | HostileCombination): string {
  const what = 'key' in entry ? `${entry.key}, ` : '';
  return `${what}${entry.verdict instanceof RegExp ? 'refused' : 'taken'}: ${entry.about}`;
}
