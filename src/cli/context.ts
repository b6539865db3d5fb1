import type { Readable, Writable } from 'node:stream';

/** What a command gets from the process, handed down from `main.ts`. */
export interface CliContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Data goes here … */
  readonly stdout: Writable & { readonly isTTY?: boolean };
  /** … and messages for a person there. */
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  /** Where a person answers; without it nobody is asked. */
  readonly stdin?: Readable & { readonly isTTY?: boolean };
}

export function printLine(stream: Writable, line: string): void {
  stream.write(`${line}\n`);
}
