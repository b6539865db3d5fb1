import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** The system user a child runs as. */
export interface Identity {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** What `spawn` needs to become that user; a folder only root may enter must not stay the current one. */
export function runningAs(identity: Identity | undefined): { uid?: number; gid?: number; cwd?: string } {
  return identity === undefined ? {} : { uid: identity.uid, gid: identity.gid, cwd: '/' };
}

/** Runs a program to its end and returns what it printed; a failure's message holds the last lines it printed. */
export async function run(
  command: string,
  args: readonly string[],
  options: { readonly identity?: Identity | undefined; readonly cwd?: string } = {},
): Promise<string> {
  const { identity, ...rest } = options;
  try {
    const { stdout } = await execute(command, [...args], { ...runningAs(identity), ...rest });
    return stdout;
  } catch (cause) {
    throw new Error(`${command}: ${failureOf(cause)}`, { cause });
  }
}

function failureOf(cause: unknown): string {
  const { stderr = '', code } = cause as { stderr?: string; code?: string | number };
  const lines = stderr.trim().split('\n').slice(-10).join('\n');
  return lines === '' ? `failed (${code ?? 'unknown reason'})` : lines;
}
