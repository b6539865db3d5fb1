import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isExecutable } from '../../src/embedded/find-executable.ts';
import { run } from '../../src/embedded/process.ts';
import { messageOf } from '../../src/errors.ts';
import { unpackFromSuite } from './debian-suite.ts';

/** A program and the arguments that come before one's own. */
export type Command = readonly [string, ...string[]];

interface Tool {
  /** Ways it may lie on the machine, and the argument that prints its version. */
  readonly onMachine: readonly (readonly [Command, version: string])[];
  /** The oldest that understands our files. */
  readonly major: number;
  /** Where Debian's package has it, which stands in for one that is missing or too old. */
  readonly debian: { readonly suite: string; readonly name: string; readonly path: string };
}

const TOOLS = {
  compose: {
    onMachine: [
      [['docker', 'compose'], 'version'],
      [['docker-compose'], 'version'],
    ],
    major: 2,
    debian: {
      suite: 'trixie',
      name: 'docker-compose',
      path: 'usr/libexec/docker/cli-plugins/docker-compose',
    },
  },
  kustomize: {
    onMachine: [[['kustomize'], 'version']],
    major: 5,
    debian: { suite: 'trixie', name: 'kustomize', path: 'usr/bin/kustomize' },
  },
} as const satisfies Readonly<Record<string, Tool>>;

export type ToolName = keyof typeof TOOLS;
export const TOOL_NAMES = Object.keys(TOOLS) as readonly ToolName[];

const CACHE = join(import.meta.dirname, '..', '..', '.cache', 'deploy-tools');

/** Neither needs an engine or a cluster for what tests ask of it. Fetched once per checkout; several may ask at once. */
export async function deployTool(name: ToolName): Promise<Command> {
  const tool: Tool = TOOLS[name];
  for (const [command, version] of tool.onMachine)
    if (await isRecent(command, { version, tool })) return command;
  const path = join(CACHE, name, name);
  if (!(await isExecutable(path))) await install(name, tool);
  return [path];
}

async function isRecent(
  [program, ...first]: Command,
  { version, tool }: { version: string; tool: Tool },
): Promise<boolean> {
  try {
    const [, major] = /(\d+)\.\d+\.\d+/.exec(await run(program, [...first, version])) ?? [];
    return Number(major) >= tool.major;
  } catch {
    return false;
  }
}

async function install(name: ToolName, { debian }: Tool): Promise<void> {
  await mkdir(CACHE, { recursive: true });
  const staging = await mkdtemp(join(CACHE, 'installing-'));
  try {
    const unpacked = await unpackFromSuite(staging, debian);
    await mkdir(join(staging, name));
    await cp(join(unpacked, debian.path), join(staging, name, name));
    // Somebody else may have been quicker; then theirs serves as well.
    await rename(join(staging, name), join(CACHE, name)).catch(() => undefined);
  } catch (cause) {
    throw new Error(`no ${name} here, and none from Debian's packages: ${messageOf(cause)}`, { cause });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}
