import { messageOf, PostcommitError } from '../errors.ts';
import { redact } from '../telemetry/redact.ts';
import { type CliContext, printLine } from './context.ts';

/** What happened and what to do; causes and stacks only for whoever asked for them with LOG_LEVEL=debug. */
export function reportError(error: unknown, { stderr, env }: CliContext): void {
  const print = (label: string, message: string) =>
    printLine(stderr, `${paint(label, stderr.isTTY === true, env)} ${redact(message)}`);
  print('error:', messageOf(error));
  print('hint:', error instanceof PostcommitError ? error.hint : UNEXPECTED);
  if (!['debug', 'trace'].includes(env.LOG_LEVEL?.toLowerCase() ?? '')) return;
  for (const cause of causesOf(error)) printLine(stderr, redact(cause));
}

const UNEXPECTED = 'This was not expected. LOG_LEVEL=debug shows where it came from.';

function causesOf(error: unknown): string[] {
  const lines: string[] = [];
  for (let cause = error; cause !== undefined && lines.length < 10; ) {
    lines.push(cause instanceof Error && cause.stack !== undefined ? cause.stack : messageOf(cause));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return lines;
}

function paint(label: string, isTerminal: boolean, env: CliContext['env']): string {
  if (!isTerminal || (env.NO_COLOR ?? '') !== '') return label;
  return `\u001b[${label === 'error:' ? 31 : 36}m${label}\u001b[0m`;
}
