import { Command, InvalidArgumentError } from 'commander';
import type { Bench } from './context.ts';

/** What one call of `npm run bench` asks for. */
export interface Flags {
  readonly names: readonly string[];
  /** Interleaved repetitions of each variant. */
  readonly runs: number;
  readonly quick: boolean;
  readonly json: boolean;
  /** The folder of the report. */
  readonly out: string;
}

/** Where help and complaints go. */
export type Print = (text: string) => unknown;

export interface FlagsContext {
  readonly benches: Readonly<Record<string, Bench>>;
  readonly stdout: Print;
  readonly stderr: Print;
}

const RUNS = 5;

type Given = Pick<Flags, 'out'> & Partial<Flags>;

/** Throws a `CommanderError` for wrong usage, which it has printed, and for `--help`, whose exit code is 0. */
export function parseFlags(args: readonly string[], { benches, stdout, stderr }: FlagsContext): Flags {
  const command = new Command('npm run bench --')
    .usage('[NAME ...] [options]')
    .description(
      'Measures on servers it starts itself, and compares within one run. Prints a table, and writes bench.json, bench.html and each plot as an SVG.',
    )
    .argument('[name...]', 'which benchmarks; without a name all of them that are not only by name')
    .option('--quick', 'small loads and a single run, in a minute: a look, not a figure to quote')
    .option(
      '--runs <n>',
      `interleaved repetitions of each variant (default: ${RUNS}, with --quick 1)`,
      runsOf,
    )
    .option('--json', 'print the report as JSON on stdout instead of the table')
    .option('--out <folder>', 'where the files go', 'bench-report')
    .addHelpText('after', listOf(benches) + EXAMPLES)
    .showSuggestionAfterError()
    .configureOutput({ writeOut: stdout, writeErr: stderr })
    .exitOverride();
  command.parse([...args], { from: 'user' });
  const unknown = command.args.filter((name) => !Object.hasOwn(benches, name));
  if (unknown.length > 0)
    command.error(
      `error: there is no benchmark '${unknown.join("', '")}', but: ${Object.keys(benches).join(', ')}`,
    );
  const { out, quick = false, json = false, runs = quick ? 1 : RUNS } = command.opts<Given>();
  const all = Object.keys(benches).filter((name) => benches[name]?.onlyByName !== true);
  const names = command.args.length > 0 ? [...new Set(command.args)] : all;
  return { names, runs, quick, json, out };
}

function runsOf(text: string): number {
  if (!/^[1-9]\d{0,2}$/.test(text)) throw new InvalidArgumentError('A whole number from 1 to 999.');
  return Number(text);
}

function listOf(benches: FlagsContext['benches']): string {
  const width = Math.max(...Object.keys(benches).map((name) => name.length)) + 2;
  const lines = Object.entries(benches).map(
    ([name, { summary, onlyByName }]) =>
      `  ${name.padEnd(width)}${summary}${onlyByName ? ' (only by name)' : ''}`,
  );
  return `\nBenchmarks:\n${lines.join('\n')}\n`;
}

const EXAMPLES = `
Exit codes: 0 measured, whether the targets are met or not; 1 failed; 2 wrong usage.

Examples:
  npm run bench                         # all of it: minutes, on a machine that does nothing else
  npm run bench -- --quick              # all of it, a look
  npm run bench -- drain rivals --runs 3
  npm run bench -- drain --json --out /tmp/drain
`;
