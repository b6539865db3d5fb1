import { type Command, InvalidArgumentError, Option } from 'commander';
import { type DecisionAnswer, decideLetters } from '../dead-letters/decide.ts';
import { type ListedLetter, listLetters, payloadOf } from '../dead-letters/listing.ts';
import { PostcommitError } from '../errors.ts';
import { noAnswer, waitOption, withOperatorSession } from './ask-leader.ts';
import { type CliContext, printLine } from './context.ts';
import { EXIT, EXIT_CODES_HELP } from './exit-codes.ts';
import { addSettingOptions } from './setting-options.ts';

interface Selection {
  readonly id?: readonly number[];
  readonly stream?: string;
  readonly outcome?: string;
  readonly key?: readonly string[];
  readonly consumer?: string;
}

type ExitWith = (code: number) => void;

export function registerDeadLetters(program: Command, context: CliContext, exitWith: ExitWith): void {
  const command = program
    .command('dead-letters')
    .summary('events that could not be published, or that a consumer gave up, and what to do with them')
    .description(
      'Events that a stream will never take as they are (too large), or that no lane takes, are set aside as dead letters, and so are those that a handler of consume() has failed on too often. They wait here until an operator retries or discards them.',
    )
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP);
  registerList(command, context);
  registerShow(command, context);
  registerDecision(command, context, {
    name: 'retry',
    exitWith,
    does: 'publish them again, behind everything planned, or the consumer that gave them up to try them again',
  });
  registerDecision(command, context, {
    name: 'discard',
    exitWith,
    does: 'give them up; where keys hold, what waits behind them goes on',
  });
}

const EXAMPLES = `
Examples:
  postcommit dead-letters list
  postcommit dead-letters show 17 --payload
  postcommit dead-letters retry --id 17,18
  postcommit dead-letters retry --outcome misrouted     # after a lane was added
  postcommit dead-letters discard --stream orders --key customer-9
  postcommit dead-letters retry --consumer billing      # its handler runs again; nothing is published
`;

function registerList(parent: Command, context: CliContext): void {
  const command = parent
    .command('list')
    .description('Lists dead letters that await a decision, oldest first.')
    .option('--all', 'also those that are over: resolved or discarded')
    .addOption(new Option('--limit <number>', 'at most so many').argParser(wholeNumber).default(100));
  addSelection(command)
    .option('--json', 'print a JSON array')
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP)
    .action(() =>
      withOperatorSession(command, context, async (session) => {
        const flags = command.opts<Selection & { all?: true; limit: number; json?: true }>();
        const letters = await listLetters(session, {
          ...toDetail(flags),
          all: flags.all === true,
          limit: flags.limit,
        });
        if (flags.json) printLine(context.stdout, JSON.stringify(letters));
        else for (const line of table(letters)) printLine(context.stdout, line);
      }),
    );
  addSettingOptions(command, ['databaseUrl', 'logLevel']);
}

function registerShow(parent: Command, context: CliContext): void {
  const command = parent
    .command('show')
    .description('Shows one dead letter.')
    .argument('<id>', 'its number in the list', wholeNumber)
    .option('--payload', 'with its payload, as text')
    .option('--json', 'print it as JSON; the payload in base64')
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP)
    .action((id: number) =>
      withOperatorSession(command, context, async (session) => {
        const flags = command.opts<{ payload?: true; json?: true }>();
        const [letter] = await listLetters(session, { all: true, ids: [id], limit: 1 });
        if (letter === undefined)
          throw new PostcommitError(
            'event-invalid',
            `there is no dead letter ${id}`,
            'postcommit dead-letters list --all shows them.',
          );
        const payload = flags.payload ? await payloadOf(session, id) : undefined;
        if (flags.json)
          printLine(
            context.stdout,
            JSON.stringify({
              ...letter,
              ...(payload === undefined ? {} : { payload: payload?.toString('base64') ?? null }),
            }),
          );
        else showLetter(letter, payload, context);
      }),
    );
  addSettingOptions(command, ['databaseUrl', 'logLevel']);
}

function registerDecision(
  parent: Command,
  context: CliContext,
  { name, does, exitWith }: { name: 'retry' | 'discard'; does: string; exitWith: ExitWith },
): void {
  const command = parent
    .command(name)
    .description(`Asks the leading relay to ${does}. Who asked for what stays in postcommit.requests.`)
    .option('--all', 'everything that awaits a decision');
  addSelection(command)
    .addOption(waitOption())
    .option('--json', 'print the answer as JSON')
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP)
    .action(() =>
      withOperatorSession(command, context, async (session) => {
        const flags = command.opts<DecisionFlags>();
        requireSelection(name, flags);
        const answer = await decideLetters(session, { kind: name, waitMs: flags.wait, ...toDetail(flags) });
        printLine(context.stdout, flags.json ? JSON.stringify(answer) : describe(answer));
        exitWith(answer.result === null || 'error' in answer.result ? EXIT.failure : EXIT.ok);
      }),
    );
  addSettingOptions(command, ['databaseUrl', 'logLevel']);
}

interface DecisionFlags extends Selection {
  readonly all?: true;
  readonly wait: number;
  readonly json?: true;
}

function requireSelection(name: string, flags: DecisionFlags): void {
  if (flags.all === true || Object.keys(toDetail(flags)).length > 0) return;
  throw new PostcommitError(
    'config-invalid',
    `which dead letters to ${name} was not said`,
    'Choose with --id, --stream, --outcome, --key or --consumer, or take --all.',
  );
}

function addSelection(command: Command): Command {
  return command
    .addOption(new Option('--id <numbers>', 'these, separated by commas').argParser(wholeNumbers))
    .option('--stream <name>', 'of this stream')
    .addOption(
      new Option('--outcome <outcome>', 'why it was set aside').choices([
        'refused',
        'misrouted',
        'moved',
        'held',
        'failed',
      ]),
    )
    .option(
      '--consumer <name>',
      'of this consumer; without it a retry and a discard mean the relay, but for --id',
    )
    .addOption(new Option('--key <key>', 'of this key; may be repeated').argParser(collect));
}

function toDetail({ id, stream, outcome, key, consumer }: Selection) {
  return {
    ...(id === undefined ? {} : { ids: id }),
    ...(stream === undefined ? {} : { stream }),
    ...(outcome === undefined ? {} : { outcome }),
    ...(key === undefined ? {} : { keys: key }),
    ...(consumer === undefined ? {} : { consumer }),
  };
}

const COUNTS = ['retried', 'retrying', 'discarded', 'released', 'misrouted', 'gone'];

function describe(answer: DecisionAnswer): string {
  const { result } = answer;
  if (result === null) return 'request' in answer ? noAnswer(answer) : '';
  if ('error' in result) return String(result.error);
  return COUNTS.filter((name) => name in result)
    .map((name) => `${name} ${String(result[name])}`)
    .join(', ');
}

function* table(letters: readonly ListedLetter[]): Generator<string> {
  if (letters.length === 0) yield 'no dead letters';
  for (const {
    id,
    state,
    outcome,
    stream,
    position,
    subject,
    key,
    consumer,
    attempts,
    lastFailedAt,
    reason,
  } of letters) {
    const place = consumer === null ? `position ${position ?? '-'}` : `consumer ${consumer}`;
    yield `${String(id).padStart(6)}  ${state.padEnd(8)}  ${outcome.padEnd(9)}  ${lastFailedAt.slice(0, 19)}  ${attempts} x  ${stream}  ${place}  ${subject}${key === null ? '' : `  key ${key}`}`;
    yield `        ${reason}`;
  }
}

function showLetter(letter: ListedLetter, payload: Buffer | null | undefined, { stdout }: CliContext): void {
  const { history, ...facts } = letter;
  for (const [name, value] of Object.entries(facts))
    if (value !== null) printLine(stdout, `${name}: ${value}`);
  for (const { at, reason } of history) printLine(stdout, `attempt ${at}: ${reason}`);
  if (payload === null) printLine(stdout, 'payload: gone with its outbox row');
  else if (payload !== undefined) printLine(stdout, `payload: ${payload.toString()}`);
}

function wholeNumber(value: string): number {
  if (/^\d{1,15}$/.test(value) && Number(value) > 0) return Number(value);
  throw new InvalidArgumentError('Expected a whole number above 0.');
}

function wholeNumbers(value: string): number[] {
  return value.split(',').map((part) => wholeNumber(part.trim()));
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
