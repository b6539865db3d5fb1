import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import { loadRelayConfig } from '../daemon/config.ts';
import { didYouMean } from '../daemon/did-you-mean.ts';
import { SETTING_KEYS } from '../daemon/settings.ts';
import { CHECKS, type Check, type DoctorOptions, examine, type Finding } from '../doctor/index.ts';
import { type CliContext, printLine } from './context.ts';
import { linesOf, summaryOf, type Tally, tallyOf } from './doctor-report.ts';
import { boundedDurationOption } from './duration-option.ts';
import { EXIT, EXIT_CODES_HELP } from './exit-codes.ts';
import { addSettingOptions, configSources } from './setting-options.ts';

interface Flags {
  readonly maxLag: number;
  readonly maxTransactionAge: number;
  readonly timeout: number;
  readonly strict?: true;
  readonly quiet?: true;
  readonly json?: true;
}

export function registerDoctor(
  program: Command,
  context: CliContext,
  exitWith: (code: number) => void,
): void {
  const command = program
    .command('doctor')
    .summary('look for what keeps events from flowing, or will; each with its cause and its fix')
    .description(
      'Examines PostgreSQL, NATS and what lies between, with the settings of the relay and as its roles, and says of each fault what it comes from and what ends it. Changes nothing. What its roles may not see is "unseen".',
    )
    .addArgument(new Argument('[checks...]', 'only these; see below').argParser(checkNames))
    .addOption(
      durationFlag('--max-lag <duration>', 'an event that has been waiting for longer is late', '1m'),
    )
    .addOption(
      durationFlag('--max-transaction-age <duration>', 'a transaction open for longer is old', '10m'),
    )
    .addOption(durationFlag('--timeout <duration>', 'how long one check may take', '10s'))
    .option('--strict', 'exit with 1 for a warning, too')
    .option('--quiet', 'print nothing of what is well')
    .option('--json', 'print the findings as JSON')
    .addHelpText('after', `${checkList()}${EXAMPLES}${EXIT_CODES_HELP}`)
    .action(async (names: readonly string[] | undefined) => {
      const flags = command.opts<Flags>();
      const config = loadRelayConfig(configSources(command, context));
      const options = {
        ...config,
        maxLagMs: flags.maxLag,
        maxTransactionMs: flags.maxTransactionAge,
        timeLimitMs: flags.timeout,
      };
      const checks = CHECKS.filter(
        ({ name }) => names === undefined || names.length === 0 || names.includes(name),
      );
      exitWith(await diagnose(checks, { options, flags, context }));
    });
  addSettingOptions(
    command,
    SETTING_KEYS.filter((key) => !['http', 'consoleToken', 'deadLetters'].includes(key)),
  );
}

const EXAMPLES = `
The findings go to standard output, the summary to standard error.
Exits with 0 if there is no problem (with --strict: and no warning), with 4 if neither PostgreSQL nor NATS answers.

Examples:
  DATABASE_URL=postgres://relay:secret@db/shop NATS_URL=nats://nats:4222 postcommit doctor
  postcommit doctor --config postcommit.config.json --quiet
  postcommit doctor backlog relay-leader --max-lag 10s
  postcommit doctor --strict --json | jq '.findings[] | select(.severity != "ok")'
`;

function checkList(): string {
  const width = Math.max(...CHECKS.map(({ name }) => name.length));
  return `\nChecks:\n${CHECKS.map(({ name, about }) => `  ${name.padEnd(width)}  ${about}\n`).join('')}`;
}

function durationFlag(flag: string, about: string, initial: string): Option {
  return new Option(flag, about)
    .argParser(boundedDurationOption)
    .default(boundedDurationOption(initial), initial);
}

function checkNames(name: string, before: readonly string[] = []): string[] {
  const known = CHECKS.map((check) => check.name);
  if (known.includes(name)) return [...before, name];
  const near = didYouMean(name, known);
  throw new InvalidArgumentError(
    `There is no such check.${near === undefined ? '' : ` Did you mean ${near}?`}`,
  );
}

interface Examination {
  readonly options: DoctorOptions;
  readonly flags: Flags;
  readonly context: CliContext;
}

async function diagnose(checks: readonly Check[], { options, flags, context }: Examination): Promise<number> {
  const { stdout, stderr, env } = context;
  const startedAtMs = performance.now();
  const findings: Finding[] = [];
  const line = {
    colored: stdout.isTTY === true && (env.NO_COLOR ?? '') === '',
    nameWidth: Math.max(0, ...checks.map(({ name }) => name.length)),
    showStream: options.lanes.length > 1,
  };
  for await (const found of examine(checks, options)) {
    findings.push(...found);
    const shown = flags.json ? [] : found.filter(({ severity }) => flags.quiet !== true || severity !== 'ok');
    for (const finding of shown) for (const text of linesOf(finding, line)) printLine(stdout, text);
  }
  const tally = tallyOf(findings);
  const listed = findings.filter(({ severity }) => flags.quiet !== true || severity !== 'ok');
  if (flags.json)
    printLine(stdout, JSON.stringify({ ok: isWell(tally, flags), counts: tally, findings: listed }));
  printLine(stderr, summaryOf(tally, { checks: checks.length, tookMs: performance.now() - startedAtMs }));
  if (isWell(tally, flags)) return EXIT.ok;
  return nobodyAnswers(findings) ? EXIT.unreachable : EXIT.failure;
}

function isWell({ problem, warning }: Tally, { strict }: Flags): boolean {
  return problem === 0 && (strict !== true || warning === 0);
}

/** Nothing could be looked at: that is no finding about the system. */
function nobodyAnswers(findings: readonly Finding[]): boolean {
  const failed = (name: string) =>
    findings.some(({ check, severity }) => check === name && severity === 'problem');
  const nothingSeen = findings.every(({ severity }) => severity === 'problem' || severity === 'unseen');
  return nothingSeen && failed('postgres-connection') && failed('nats-connection');
}
