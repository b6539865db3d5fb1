import { type Command, InvalidArgumentError } from 'commander';
import { loadDatabaseConfig } from '../daemon/config.ts';
import { type MigrateResult, migrate } from '../migrate/index.ts';
import { type CliContext, printLine } from './context.ts';
import { EXIT_CODES_HELP } from './exit-codes.ts';
import { addSettingOptions, configSources } from './setting-options.ts';

interface Flags {
  readonly maxPayload?: number;
  readonly dryRun?: true;
  readonly json?: true;
}

export function registerMigrate(program: Command, context: CliContext): void {
  const command = program
    .command('migrate')
    .summary('create or update the schema "postcommit" in a database')
    .description(
      'Creates or updates the schema "postcommit", in one transaction. Safe to repeat and to start many times at once.',
    )
    .option('--max-payload <bytes>', 'set the largest size of payload and headers together', wholeNumber)
    .option('--dry-run', 'print the SQL that would be run, and change nothing')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP)
    .action(async () => {
      const { json, ...flags } = command.opts<Flags>();
      const { databaseUrl } = loadDatabaseConfig(configSources(command, context));
      const result = await migrate({ url: databaseUrl(), ...flags });
      for (const warning of result.warnings) printLine(context.stderr, `warning: ${warning}`);
      if (json) printLine(context.stdout, JSON.stringify(toJson(result, flags)));
      else print(result, flags, context);
    });
  addSettingOptions(command, ['databaseUrl', 'logLevel']);
}

const EXAMPLES = `
Examples:
  DATABASE_URL=postgres://app:secret@db/shop postcommit migrate
  postcommit migrate --dry-run > postcommit.sql     # for psql, or for an administrator
  postcommit migrate --max-payload 8000000          # NATS: max_payload above that
`;

function toJson({ sql, ...result }: MigrateResult, { dryRun }: Flags): object {
  return { ...result, upToDate: sql === '', dryRun: dryRun === true, ...(dryRun === true ? { sql } : {}) };
}

function print(
  { applied, maxPayload, sql }: MigrateResult,
  { dryRun }: Flags,
  { stdout, stderr }: CliContext,
): void {
  if (sql === '') {
    printLine(stderr, 'up to date: nothing to do');
  } else if (dryRun === true) {
    stdout.write(sql);
    printLine(stderr, `dry run: nothing was changed, ${applied.length} migration(s) pending`);
  } else {
    for (const name of applied) printLine(stdout, `applied ${name}`);
    if (maxPayload !== null)
      printLine(stdout, `maximum payload ${maxPayload.from} -> ${maxPayload.to} bytes`);
  }
}

function wholeNumber(value: string): number {
  if (/^\d{1,12}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('Expected a whole number of bytes, for example 8000000.');
}
