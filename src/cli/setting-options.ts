import { type Command, Option } from 'commander';
import { flagOf, type Setting, type SettingKey, settingOf } from '../daemon/settings.ts';
import type { ConfigSources } from '../daemon/sources.ts';
import type { CliContext } from './context.ts';

const SETTINGS_GROUP = 'Settings (flags over environment over file):';

/** One flag per setting, named like its variable. Secrets only as the path of a file: arguments are for all to see. */
export function addSettingOptions(command: Command, keys: readonly SettingKey[]): Command {
  for (const key of keys) {
    const setting: Setting = settingOf(key);
    if (setting.secret !== 'value') {
      const option = new Option(
        `${flagOf(key)} <${placeholder(setting)}>`,
        `${setting.about} [${setting.env}]`,
      );
      command.addOption(option.helpGroup(SETTINGS_GROUP));
    }
    if (setting.secret !== undefined) {
      const option = new Option(
        `${flagOf(key)}-file <path>`,
        `the same, read from a file [${setting.env}_FILE]`,
      );
      if (setting.secret === 'value')
        option.description = `${setting.about}, read from a file [${setting.env}_FILE]`;
      command.addOption(option.helpGroup(SETTINGS_GROUP));
    }
  }
  return command.addOption(
    new Option('--config <path>', 'read settings from a JSON file').helpGroup(SETTINGS_GROUP),
  );
}

export function configSources(command: Command, { env }: CliContext): ConfigSources {
  const flags = command.opts<Record<string, unknown> & { config?: string }>();
  return { flags, env, file: flags.config };
}

function placeholder({ secret, kind }: Setting): string {
  if (secret === 'url') return 'url';
  return kind === 'pem' ? 'path' : 'value';
}
