import { constants } from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import { messageOf, PostcommitError } from '../../src/errors.ts';
import { type Outcome, runSuite, SUITES, type Suite } from './run.ts';
import { openServers } from './servers.ts';

const RULES = Object.values(SUITES).flatMap(({ rules }) => rules.map(({ id }) => id));

const program = new Command('conformance')
  .description(
    'Tries a client in any language by the rules of docs/protocol.md, and says of each whether it keeps it. Starts servers of its own, or uses those of DATABASE_URL and NATS_URL with a scratch database and stream.',
  )
  .argument('<command...>', 'starts the driver of the client, which answers JSON lines')
  .option('--writer', 'only the rules of writers')
  .option('--consumer', 'only those of consumers')
  .option('--only <rules>', 'by commas', parseRules)
  .option('--json', 'prints the outcomes as JSON on standard output')
  .passThroughOptions()
  .addHelpText(
    'after',
    `
Exit codes: 0 every rule is kept, or not applicable; 1 one is not, or none was tried; 2 wrong usage, or no servers;
130, 143 interrupted.

Examples:
  npm run conformance -- --writer python3 test/conformance/drivers/writer.py
  npm run conformance -- --consumer node test/conformance/drivers/consumer.ts
  npm run conformance -- --only P-C3,P-C4 --consumer /path/to/my/driver --flag`,
  )
  .configureOutput({ outputError: (text, write) => write(text) })
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

interface Options {
  readonly writer?: true;
  readonly consumer?: true;
  readonly only?: readonly string[];
  readonly json?: true;
}

program.parse();
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    interrupted.abort(constants.signals[signal]);
  });
const code = await main(program.args, program.opts<Options>());
// What an interrupted rule still waits for keeps nobody.
process.exit(interrupted.signal.aborted ? 128 + Number(interrupted.signal.reason) : code);

async function main(command: readonly string[], options: Options): Promise<number> {
  const { DATABASE_URL: databaseUrl, NATS_URL: natsUrl } = process.env;
  const outcomes: Outcome[] = [];
  try {
    for (const suite of suitesOf(options)) {
      await using servers = await openServers({ databaseUrl, natsUrl });
      const { signal } = interrupted;
      if (signal.aborted) break;
      for await (const outcome of runSuite(suite, { command, servers, only: options.only, signal })) {
        outcomes.push(outcome);
        if (!options.json) process.stdout.write(lineOf(outcome));
      }
    }
  } catch (error) {
    process.stderr.write(`error: ${messageOf(error)}\n`);
    if (error instanceof PostcommitError) process.stderr.write(`hint: ${error.hint}\n`);
    return 2;
  }
  if (options.json) process.stdout.write(`${JSON.stringify(outcomes, undefined, 2)}\n`);
  const count = (kind: Outcome['verdict']['kind']) =>
    outcomes.filter(({ verdict }) => verdict.kind === kind).length;
  process.stderr.write(
    `${count('passed')} passed, ${count('failed')} failed, ${count('not applicable')} not applicable\n`,
  );
  return count('failed') === 0 && count('passed') > 0 ? 0 : 1;
}

function suitesOf({ writer, consumer }: Options): readonly Suite[] {
  if (writer === consumer) return Object.values(SUITES);
  return [writer ? SUITES.writer : SUITES.consumer];
}

function lineOf({ rule, about, verdict }: Outcome): string {
  const line = `${verdict.kind.padEnd(14)}  ${rule.padEnd(5)}  ${about}`;
  switch (verdict.kind) {
    case 'passed':
      return `${line}\n`;
    case 'failed':
      return `${line} – expected ${verdict.expected}; ${verdict.seen}\n`;
    case 'not applicable':
      return `${line} – ${verdict.reason}\n`;
  }
}

function parseRules(text: string): string[] {
  return text.split(',').map((rule) => {
    if (RULES.includes(rule)) return rule;
    throw new InvalidArgumentError(`There is no rule '${rule}': ${RULES.join(', ')}.`);
  });
}
