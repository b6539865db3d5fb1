import { type Command, InvalidArgumentError, Option } from 'commander';
import { messageOf } from '../errors.ts';
import { isLed } from '../lease/who-leads.ts';
import type { BrokerView, DatabaseView } from '../observe/system.ts';
import { counted, countText, durationText } from '../quantities.ts';
import { type CliContext, printLine } from './context.ts';
import { durationOption } from './duration-option.ts';
import { LOOK_SETTINGS, type Look, lookOnce } from './look.ts';
import { addSettingOptions, configSources } from './setting-options.ts';

/** What monitoring plugins answer with; other commands have other codes. */
export const NAGIOS = { ok: 0, warning: 1, critical: 2, unknown: 3 } as const;

type Level = keyof typeof NAGIOS;

interface Limits {
  readonly maxLag: number;
  readonly maxBacklog?: number;
  readonly maxDeadLetters?: number;
  readonly maxConsumerLag?: number;
  readonly standby?: true;
}

interface Finding {
  readonly level: 'warning' | 'critical' | 'unknown';
  readonly text: string;
}

export function registerCheck(program: Command, context: CliContext, exitWith: (code: number) => void): void {
  const command = program
    .command('check')
    .summary('one line and an exit code for cron and Nagios')
    .description('Compares how things stand with limits, in the way of a monitoring plugin.')
    .addOption(
      new Option('--max-lag <duration>', 'critical when the oldest committed event has waited for longer')
        .argParser(durationOption)
        .default(30_000, '30s'),
    )
    .addOption(new Option('--max-backlog <events>', 'critical above so many').argParser(wholeNumber))
    .addOption(
      new Option('--max-dead-letters <letters>', 'warning above so many').argParser(wholeNumber).default(0),
    )
    .addOption(
      new Option(
        '--max-consumer-lag <messages>',
        'warning when a durable consumer is further behind',
      ).argParser(wholeNumber),
    )
    .option('--standby', 'warning when no relay stands by')
    .addHelpText('after', HELP)
    .action(async () => {
      const { level, line } = await judge(command, context);
      printLine(context.stdout, line);
      exitWith(NAGIOS[level]);
    });
  addSettingOptions(command, LOOK_SETTINGS);
}

const HELP = `
Prints one line, with performance data behind the bar.

Examples:
  postcommit check --max-lag 10s
  postcommit check --max-lag 1m --max-backlog 50000 --max-consumer-lag 10000 --standby
  */5 * * * * postcommit check --max-lag 1m >/dev/null || page-somebody

Exit codes, those of monitoring plugins:
  0  OK
  1  WARNING: dead letters, a consumer that is behind, no standby
  2  CRITICAL: the lag or the backlog is over its limit, or nobody leads; also wrong usage
  3  UNKNOWN: a server cannot be seen, or the configuration is invalid`;

async function judge(command: Command, context: CliContext): Promise<{ level: Level; line: string }> {
  const limits = command.opts<Limits>();
  try {
    const look = await lookOnce(configSources(command, context));
    const findings = findingsOf(look, limits);
    const level = worst(findings);
    const text = findings.length === 0 ? fine(look) : findings.map((finding) => finding.text).join('; ');
    return {
      level,
      line: `postcommit ${level.toUpperCase()} - ${onOneLine(text)} | ${performanceData(look, limits)}`,
    };
  } catch (error) {
    return {
      level: 'unknown',
      line: `postcommit UNKNOWN - ${messageOf(error).replaceAll(/\s*\n\s*/g, ' ')}`,
    };
  }
}

/** What is bad for certain counts more than what is not known. */
function worst(findings: readonly Finding[]): Level {
  const levels = new Set(findings.map(({ level }) => level));
  return (['critical', 'unknown', 'warning'] as const).find((level) => levels.has(level)) ?? 'ok';
}

function findingsOf(look: Look, limits: Limits): Finding[] {
  const { database, broker } = look.system;
  const findings: Finding[] = [];
  if (database.kind === 'seen') findings.push(...databaseFindings(database.value, look, limits));
  else findings.push({ level: 'unknown', text: `PostgreSQL cannot be seen: ${database.reason}` });
  if (broker.kind !== 'seen')
    findings.push({ level: 'unknown', text: `NATS cannot be seen: ${broker.reason}` });
  else findings.push(...broker.value.streams.flatMap((stream) => streamFindings(stream, limits)));
  return findings;
}

function streamFindings(stream: BrokerView['streams'][number], { maxConsumerLag }: Limits): Finding[] {
  if (!('state' in stream))
    return [{ level: 'unknown', text: `the stream ${stream.name} cannot be seen: ${stream.reason}` }];
  if (maxConsumerLag === undefined) return [];
  const { name, durables, more } = stream;
  if (durables.kind !== 'seen' || more)
    return [{ level: 'unknown', text: `the consumers of ${name} cannot all be listed` }];
  return durables.value
    .filter(({ durable, pending }) => durable && pending > maxConsumerLag)
    .map((durable) => ({
      level: 'warning',
      text: `${durable.name} on ${name} is ${counted(durable.pending, 'message')} behind`,
    }));
}

function databaseFindings(view: DatabaseView, { backlog }: Look, limits: Limits): Finding[] {
  const { leadership, letters } = view;
  const findings: Finding[] = [];
  if (backlog === null) findings.push({ level: 'unknown', text: 'what waits cannot be seen' });
  if (!isLed(leadership)) findings.push({ level: 'critical', text: 'no relay leads' });
  const lagMs = backlog?.oldestAgeMs ?? 0;
  if (lagMs > limits.maxLag)
    findings.push({ level: 'critical', text: `the oldest event has waited for ${durationText(lagMs)}` });
  if (limits.maxBacklog !== undefined && (backlog?.events ?? 0) > limits.maxBacklog)
    findings.push({ level: 'critical', text: `${counted(backlog?.events ?? 0, 'event')} wait` });
  const dead = deadOf(letters);
  if (dead > (limits.maxDeadLetters ?? 0))
    findings.push({ level: 'warning', text: `${counted(dead, 'dead letter')} await a decision` });
  if (limits.standby && leadership.standbys.length === 0)
    findings.push({ level: 'warning', text: 'no relay stands by' });
  return findings;
}

function deadOf(letters: DatabaseView['letters']): number {
  const waiting = letters.filter(({ state }) => state === 'parked' || state === 'held');
  return waiting.reduce((sum, tally) => sum + tally.letters, 0);
}

function fine({ backlog }: Look): string {
  return backlog === null || backlog.events === 0
    ? 'nothing waits'
    : `${counted(backlog.events, 'event')} on their way`;
}

/** `U` is what is not known. */
function performanceData({ system: { database }, backlog }: Look, limits: Limits): string {
  const lag = backlog === null ? 'U' : `${((backlog.oldestAgeMs ?? 0) / 1_000).toFixed(3)}s`;
  const dead = database.kind === 'seen' ? deadOf(database.value.letters) : 'U';
  return [
    `lag=${lag};;${limits.maxLag / 1_000};0`,
    `backlog=${backlog?.events ?? 'U'};;${limits.maxBacklog ?? ''};0`,
    `dead_letters=${dead};${limits.maxDeadLetters ?? 0};;0`,
  ].join(' ');
}

/** A bar begins the performance data, and a line ends the answer. */
function onOneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, ' ').replaceAll('|', '/');
}

function wholeNumber(value: string): number {
  if (!/^\d{1,15}$/.test(value))
    throw new InvalidArgumentError(`Expected a whole number like ${countText(1000)}.`);
  return Number(value);
}
