import { createInterface } from 'node:readline';
import type { CliContext } from './context.ts';

/** Asks a person; undefined where there is none. Anything but yes is no, and so is the end of the input. */
export async function confirm({ stdin, stderr }: CliContext, question: string): Promise<boolean | undefined> {
  if (stdin?.isTTY !== true || stderr.isTTY !== true) return undefined;
  // Without a terminal of its own, Ctrl-C ends the command as ever.
  const lines = createInterface({ input: stdin, terminal: false });
  stderr.write(`${question} [y/N] `);
  try {
    for await (const line of lines) return /^y(es)?$/i.test(line.trim());
    return false;
  } finally {
    lines.close();
  }
}
