import { loadLookConfig } from '../daemon/config.ts';
import { NATS_KEYS, type SettingKey } from '../daemon/settings.ts';
import type { ConfigSources } from '../daemon/sources.ts';
import { type Connections, createConnections } from '../observe/connections.ts';
import { type Backlog, backlogOf, type LaneView, lanesOf } from '../observe/lanes.ts';
import { lookAtSystem, type SystemView } from '../observe/system.ts';

/** What a command that looks at both servers reads. */
export const LOOK_SETTINGS: readonly SettingKey[] = ['databaseUrl', ...NATS_KEYS, 'stream', 'lanes'];

/** One look at the whole. */
export interface Look {
  readonly system: SystemView;
  readonly lanes: readonly LaneView[];
  /** Null: the database cannot be seen. */
  readonly backlog: Backlog | null;
}

/** @throws PostcommitError `config-invalid` */
export async function lookOnce(sources: ConfigSources): Promise<Look> {
  const config = loadLookConfig(sources);
  await using connections: Connections = createConnections(config);
  const system = await lookAtSystem(
    connections,
    config.lanes.map(({ stream }) => stream),
  );
  const lanes = lanesOf(system);
  return { system, lanes, backlog: backlogOf(system) };
}
