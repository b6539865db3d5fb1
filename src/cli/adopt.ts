import type { Command } from 'commander';
import { askLeader, type LeaderAnswer } from '../requests/ask-leader.ts';
import { noAnswer, waitOption, withOperatorSession } from './ask-leader.ts';
import { type CliContext, printLine } from './context.ts';
import { EXIT, EXIT_CODES_HELP } from './exit-codes.ts';
import { addSettingOptions } from './setting-options.ts';

interface Flags {
  readonly stream: string;
  readonly republish?: true;
  readonly wait: number;
  readonly json?: true;
}

export function registerAdopt(program: Command, context: CliContext, exitWith: (code: number) => void): void {
  const command = program
    .command('adopt')
    .summary('go on with a stream that was deleted, made anew or restored')
    .description(
      'Tells the leading relay to go on with a stream that is not the one it planned for, or that lost events which the outbox no longer holds. What was stored before counts as published; what was not goes onto the stream now. The relay makes a missing stream anew.',
    )
    .requiredOption('--stream <name>', 'the stream of the lane that is paused')
    .option('--republish', 'publish again everything that the outbox still holds, before anything new')
    .addOption(waitOption())
    .option('--json', 'print the answer as JSON')
    .addHelpText('after', EXAMPLES + EXIT_CODES_HELP)
    .action(() =>
      withOperatorSession(command, context, async (session) => {
        const { stream, republish, wait: waitMs, json } = command.opts<Flags>();
        const detail = { stream, mode: republish === true ? 'republish' : 'continue' };
        const answer = await askLeader(session, { kind: 'adopt', detail, waitMs });
        printLine(context.stdout, json ? JSON.stringify(answer) : describe(answer, stream));
        exitWith(answer.result?.adopted === true ? EXIT.ok : EXIT.failure);
      }),
    );
  addSettingOptions(command, ['databaseUrl', 'logLevel']);
}

const EXAMPLES = `
Only for a lane that is paused because of its stream; the relay's log and /readyz say so and name this command.
Exits with 1 if nothing was adopted.

Examples:
  DATABASE_URL=postgres://operator:secret@db/shop postcommit adopt --stream orders
  postcommit adopt --stream orders --republish      # consumers know events by their ids
`;

function describe(answer: LeaderAnswer, stream: string): string {
  const { result } = answer;
  if (result === null) return noAnswer(answer);
  if (typeof result.error === 'string') return `Not adopted: ${result.error}`;
  if (result.adopted !== true) return `Not adopted: ${String(result.reason)}`;
  return `Stream '${stream}' (created ${String(result.incarnation)}) is adopted; ${Number(result.republished).toLocaleString('en-US')} events of before go onto it.`;
}
