import { PassThrough, Writable } from 'node:stream';
import { runCli } from '../../src/cli/program.ts';

export interface InProcessResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface InProcessOptions {
  readonly env: Readonly<Record<string, string>>;
  /** Standard error is a terminal so many columns wide, and a person sits at it who types these lines when asked. */
  readonly terminal?: { readonly columns?: number; readonly types?: readonly string[] };
}

/** The command line in this process, whose streams may be a terminal's. */
export async function runInProcess(
  args: readonly string[],
  { env, terminal }: InProcessOptions,
): Promise<InProcessResult> {
  const output = { stdout: '', stderr: '' };
  const into = (name: keyof typeof output) =>
    new Writable({
      write(chunk, _, done) {
        output[name] += chunk;
        done();
      },
    });
  const isTTY = terminal !== undefined;
  const stdin = new PassThrough();
  for (const line of terminal?.types ?? []) stdin.write(`${line}\n`);
  stdin.end();
  const code = await runCli(args, {
    env,
    stdout: into('stdout'),
    stderr: Object.assign(into('stderr'), { isTTY, columns: terminal?.columns ?? 100 }),
    stdin: Object.assign(stdin, { isTTY }),
  });
  return { code, ...output };
}
