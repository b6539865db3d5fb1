import { createStyle, type Style, seconds } from '../demo/style.ts';
import { counted, type Finding, type Severity } from '../doctor/index.ts';

/** How many findings of each kind there were. */
export type Tally = Readonly<Record<Severity, number>>;

export function tallyOf(findings: readonly Finding[]): Tally {
  const tally = { ok: 0, unseen: 0, warning: 0, problem: 0 };
  for (const { severity } of findings) tally[severity]++;
  return tally;
}

export interface LineOptions {
  readonly colored: boolean;
  /** Width of the names. */
  readonly nameWidth: number;
  /** There are several streams to tell apart. */
  readonly showStream: boolean;
}

/** One line for what is well, and with its cause and its fix below it for what is not. */
export function linesOf(finding: Finding, { colored, nameWidth, showStream }: LineOptions): string[] {
  const style = createStyle(colored);
  const { check, severity, stream, found, cause, fix } = finding;
  const about = showStream && stream !== null ? `${style.dim(`${stream}:`)} ` : '';
  const lines = [`${LABELS[severity](style)} ${style.bold(check.padEnd(nameWidth))}  ${about}${found}`];
  const indent = ' '.repeat(LABEL_WIDTH + 3);
  if (cause !== null) lines.push(`${indent}${style.dim('cause')}  ${cause}`);
  if (fix !== null) lines.push(`${indent}${style.dim('fix')}    ${fix}`);
  return lines;
}

const LABEL_WIDTH = 7;

const LABELS: Readonly<Record<Severity, (style: Style) => string>> = {
  ok: (style) => style.good('ok'.padEnd(LABEL_WIDTH)),
  unseen: (style) => style.dim('unseen'.padEnd(LABEL_WIDTH)),
  warning: (style) => style.warn('warning'),
  problem: (style) => style.bad('problem'),
};

/** "33 checks in 0.4 s: 2 problems, 1 warning, 1 could not be seen" */
export function summaryOf(tally: Tally, { checks, tookMs }: { checks: number; tookMs: number }): string {
  const parts = [
    tally.problem === 0 ? undefined : counted(tally.problem, 'problem'),
    tally.warning === 0 ? undefined : counted(tally.warning, 'warning'),
    tally.unseen === 0 ? undefined : `${tally.unseen} could not be seen`,
  ].filter((part) => part !== undefined);
  const said = parts.length === 0 ? 'everything is as it should be' : parts.join(', ');
  return `${counted(checks, 'check')} in ${seconds(tookMs)}: ${said}`;
}
