import { join } from 'node:path';
import { run } from '../../src/embedded/process.ts';
import { deployTool } from '../support/deploy-tools.ts';

export const COMPOSE_FILE = join(import.meta.dirname, '..', '..', 'docker-compose.yml');

export interface Service {
  readonly image?: string;
  readonly build?: { readonly context: string };
  readonly command?: readonly string[] | null;
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly { readonly source: string; readonly target: string }[];
  readonly ports?: readonly {
    readonly host_ip?: string;
    readonly target: number;
    readonly published: string;
  }[];
  readonly volumes?: readonly {
    readonly type: string;
    readonly source: string;
    readonly target: string;
    readonly read_only?: boolean;
  }[];
  readonly tmpfs?: readonly string[];
  readonly user?: string;
  readonly profiles?: readonly string[];
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly cap_add?: readonly string[];
  readonly privileged?: boolean;
  readonly security_opt?: readonly string[];
  readonly healthcheck?: { readonly disable?: boolean; readonly test?: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly stop_grace_period?: string;
}

export interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

/** What Compose itself makes of the file. It refuses what it does not know. */
export async function composeConfig(options: readonly string[]): Promise<Compose> {
  const [program, ...first] = await deployTool('compose');
  const asJson = [...options, 'config', '--format', 'json'];
  return JSON.parse(await run(program, [...first, '-f', COMPOSE_FILE, ...asJson]));
}
