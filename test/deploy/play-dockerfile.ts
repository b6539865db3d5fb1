import { chmod, cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Copy, DockerfileParser, type Instruction, type JSONInstruction } from 'dockerfile-ast';
import { run } from '../../src/embedded/process.ts';
import { type BuildContext, openBuildContext } from './build-context.ts';

/** What an engine would have built: the files of the last stage, and how it would run them. */
export interface PlayedImage extends AsyncDisposable {
  /** Stands for `/`. */
  readonly root: string;
  readonly env: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly user: string;
  readonly stopSignal: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly healthCheck: readonly string[];
}

interface Stage {
  readonly root: string;
  workdir: string;
  user: string;
  stopSignal: string;
  readonly env: Record<string, string>;
  readonly labels: Record<string, string>;
  readonly args: Record<string, string>;
  entrypoint: readonly string[];
  command: readonly string[];
  healthCheck: readonly string[];
}

/**
 * Carries out a Dockerfile without an engine: each stage is a folder, COPY takes from the build context, RUN runs in the
 * stage's WORKDIR with the Node of this process in the place of the base image's. An instruction it does not know, and a
 * RUN that names an absolute path, is an error: then this says nothing about the image.
 */
export async function playDockerfile(context: string): Promise<PlayedImage> {
  const folder = await mkdtemp(join(tmpdir(), 'postcommit-image-'));
  try {
    await chmod(folder, 0o755); // The image's user is another one than this process's.
    const dockerfile = DockerfileParser.parse(await readFile(join(context, 'Dockerfile'), 'utf8'));
    const stages = new Map<string, Stage>();
    let stage: Stage | undefined;
    for (const instruction of dockerfile.getInstructions()) {
      if (instruction.getKeyword() === 'FROM') {
        const name = instruction.getArguments()[2]?.getValue() ?? 'last';
        stage = await openStage(join(folder, name));
        stages.set(name, stage);
      } else if (stage !== undefined) {
        await play(instruction, { stage, stages, context: openBuildContext(context) });
      } else if (instruction.getKeyword() !== 'ARG') {
        throw new Error(`${instruction.toString()} comes before the first FROM`);
      }
    }
    if (stage === undefined) throw new Error('the Dockerfile has no FROM');
    return { ...stage, [Symbol.asyncDispose]: () => remove(folder) };
  } catch (error) {
    await remove(folder);
    throw error;
  }
}

async function remove(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

async function openStage(root: string): Promise<Stage> {
  const bin = join(root, 'usr', 'local', 'bin');
  await mkdir(bin, { recursive: true });
  // Where the base image has it, and where the image's user can read it.
  await cp(process.execPath, join(bin, 'node'));
  return {
    root,
    workdir: '/',
    user: '0',
    stopSignal: 'SIGTERM',
    env: {},
    labels: {},
    args: {},
    entrypoint: [],
    command: [],
    healthCheck: [],
  };
}

interface Turn {
  readonly stage: Stage;
  readonly stages: ReadonlyMap<string, Stage>;
  readonly context: BuildContext;
}

const HANDS: Readonly<Record<string, (instruction: Instruction, turn: Turn) => unknown>> = {
  ARG: (instruction, { stage }) => Object.assign(stage.args, pairsIn(instruction)),
  ENV: (instruction, { stage }) => Object.assign(stage.env, pairsIn(instruction)),
  LABEL: (instruction, { stage }) => Object.assign(stage.labels, pairsIn(instruction, stage.args)),
  async WORKDIR(instruction, { stage }) {
    stage.workdir = textOf(instruction);
    await mkdir(join(stage.root, stage.workdir), { recursive: true });
  },
  USER: (instruction, { stage }) => {
    stage.user = textOf(instruction);
  },
  STOPSIGNAL: (instruction, { stage }) => {
    stage.stopSignal = textOf(instruction);
  },
  EXPOSE: () => undefined,
  ENTRYPOINT: (instruction, { stage }) => {
    stage.entrypoint = stringsIn(instruction);
  },
  CMD: (instruction, { stage }) => {
    stage.command = stringsIn(instruction);
  },
  HEALTHCHECK: (instruction, { stage }) => {
    stage.healthCheck = JSON.parse(/CMD\s+(\[.*\])$/s.exec(textOf(instruction))?.[1] ?? '[]');
  },
  COPY: (instruction, turn) => copy(instruction as Copy, turn),
  RUN: (instruction, { stage }) => runIn(stage, textOf(instruction)),
};

async function play(instruction: Instruction, turn: Turn): Promise<void> {
  const hand = HANDS[instruction.getKeyword()];
  if (hand === undefined) throw new Error(`this test cannot carry out ${instruction.toString()}`);
  await hand(instruction, turn);
}

async function copy(instruction: Copy, { stage, stages, context }: Turn): Promise<void> {
  const from = instruction.getFromFlag()?.getValue();
  const paths = instruction.getArguments().map((argument) => argument.getValue());
  const [target = '', ...sources] = paths.reverse();
  const absolute = target.startsWith('/') ? target : join(stage.workdir, target);
  // `./` and more than one source mean: into that folder.
  const into = join(stage.root, absolute) + (target.endsWith('/') || sources.length > 1 ? '/' : '');
  await mkdir(dirname(`${into}.`), { recursive: true });
  for (const source of sources) {
    if (from === undefined || from === null) await context.copy(source, into);
    else await cp(join(rootOf(stages, from), source), into, { recursive: true, verbatimSymlinks: true });
  }
}

function rootOf(stages: ReadonlyMap<string, Stage>, name: string): string {
  const stage = stages.get(name);
  if (stage === undefined) throw new Error(`COPY --from=${name} names no stage before it`);
  return stage.root;
}

async function runIn({ root, workdir, env }: Stage, text: string): Promise<void> {
  const script = text.replace(/^(--mount=\S+\s+)+/, '');
  if (/(^|\s)\//.test(script)) throw new Error(`RUN ${script} names an absolute path`);
  const own = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const path = `PATH=${join(root, 'usr', 'local', 'bin')}:${process.env.PATH}`;
  await run('env', [path, ...own, 'sh', '-euc', script], { cwd: join(root, workdir) });
}

function textOf(instruction: Instruction): string {
  return instruction.getArgumentsContent() ?? '';
}

function stringsIn(instruction: Instruction): string[] {
  return (instruction as JSONInstruction).getJSONStrings().map((text) => text.getJSONValue());
}

/** `NAME=value NAME="value"`, with `${ARG}` in the values. */
function pairsIn(
  instruction: Instruction,
  args: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const pairs = [...textOf(instruction).matchAll(/([\w.]+)=(?:"([^"]*)"|(\S*))/g)];
  return Object.fromEntries(
    pairs.map(([, name = '', quoted, plain = '']) => [
      name,
      (quoted ?? plain).replace(/\$\{(\w+)\}/g, (_, arg: string) => args[arg] ?? ''),
    ]),
  );
}
