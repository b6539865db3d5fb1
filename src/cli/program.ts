import { Command, CommanderError } from 'commander';
import { packageVersion } from '../telemetry/package-version.ts';
import { redact } from '../telemetry/redact.ts';
import { registerAdopt } from './adopt.ts';
import { registerAudit } from './audit.ts';
import { registerCatalog } from './catalog.ts';
import { registerCheck } from './check.ts';
import { registerConsole } from './console.ts';
import { type CliContext, printLine } from './context.ts';
import { registerDeadLetters } from './dead-letters.ts';
import { registerDemo } from './demo.ts';
import { registerDev } from './dev.ts';
import { registerDoctor } from './doctor.ts';
import { EXIT, EXIT_CODES_HELP, exitCodeOf } from './exit-codes.ts';
import { registerMigrate } from './migrate.ts';
import { registerRelay } from './relay.ts';
import { registerReplay } from './replay.ts';
import { reportError } from './report-error.ts';
import { registerStatus } from './status.ts';
import { registerTail } from './tail.ts';

/** Runs one command line and resolves to the exit code. */
export async function runCli(args: readonly string[], context: CliContext): Promise<number> {
  let code: number = EXIT.ok;
  const program = createProgram(context, (chosen) => {
    code = chosen;
  });
  try {
    await program.parseAsync(args.length === 0 ? ['--help'] : [...args], { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    reportError(error, context);
    return exitCodeOf(error);
  }
}

function createProgram(context: CliContext, exitWith: (code: number) => void): Command {
  const program = new Command('postcommit')
    .description(
      'Transactional outbox relay: PostgreSQL to NATS JetStream, every committed event once and in order.',
    )
    .version(packageVersion())
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      outputError: (text, write) =>
        write(withoutValues(text).replace(/\n\(Did you mean (.*)\?\)/, '\nhint: did you mean $1?')),
    })
    .showSuggestionAfterError()
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP);
  registerMigrate(program, context);
  registerRelay(program, context);
  registerStatus(program, context, exitWith);
  registerCheck(program, context, exitWith);
  registerTail(program, context);
  registerConsole(program, context);
  registerDeadLetters(program, context, exitWith);
  registerReplay(program, context, exitWith);
  registerAudit(program, context, exitWith);
  registerAdopt(program, context, exitWith);
  registerDoctor(program, context, exitWith);
  registerCatalog(program, context, exitWith);
  registerDev(program, context);
  registerDemo(program, context);
  inheritUsageErrors(program, context);
  return program;
}

const EXAMPLES = `
Examples:
  postcommit dev                # a private PostgreSQL and NATS to try it with
  postcommit migrate            # DATABASE_URL
  postcommit relay              # DATABASE_URL and NATS_URL
  postcommit relay --help       # every setting
  postcommit status             # who leads, what waits
  postcommit check --max-lag 10s  # for cron and Nagios
  postcommit audit              # is every event of the outbox in a plan?
  postcommit dead-letters list  # what could not be published, and why
  postcommit doctor             # what is wrong, what it comes from, and what ends it
  postcommit replay --since 2h  # publish the events of two hours again
  postcommit catalog diff src/service.ts --against main  # would it break a consumer?
`;

/** A flag that there is not may have been meant to hold a secret: `--nats-password=…`. */
function withoutValues(text: string): string {
  return redact(text.replace(/(unknown option '[^'=]*)=[\s\S]*'/, "$1'"));
}

/** Of a command and of all below it. */
function inheritUsageErrors(command: Command, context: CliContext, above: readonly string[] = []): void {
  const names = [...above, command.name()];
  const path = names.join(' ');
  for (const child of command.commands) inheritUsageErrors(child, context, names);
  command.exitOverride((error) => {
    if (error.exitCode !== 0) printLine(context.stderr, `hint: ${path} --help shows what there is`);
    throw error;
  });
}
