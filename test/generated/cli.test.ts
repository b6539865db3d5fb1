import { Writable } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { runCli as runInProcess } from '../../src/cli/program.ts';
import { flagOf, SETTING_KEYS } from '../../src/daemon/settings.ts';
import { runCli as spawnCli } from '../support/cli.ts';
import { SECRET } from './config-arbitrary.ts';
import { hostileText, plainText } from './hostile-text.ts';
import { howMany, seedFor } from './seed.ts';

/** Nothing listens there: what parses goes no further than the first connection. */
const UNREACHABLE = {
  DATABASE_URL: `postgres://app:${SECRET}@127.0.0.1:1/db`,
  NATS_URL: 'nats://127.0.0.1:1',
};

const COMMANDS = [
  ['migrate'],
  ['relay'],
  ['replay'],
  ['audit'],
  ['adopt'],
  ['doctor'],
  ['dead-letters', 'list'],
  ['dead-letters', 'show'],
  ['dead-letters', 'retry'],
  ['dead-letters', 'discard'],
  ['dead-letters'],
] as const;

/** They start servers when their flags are right: here those never are. */
const STARTERS = [['dev'], ['demo']] as const;

const FLAGS = [
  '--help',
  '-h',
  '--version',
  '--json',
  '--all',
  '--dry-run',
  '--republish',
  '--strict',
  '--quiet',
  '--max-lag',
  '--timeout',
  '--migrate',
  '--payload',
  '--max-payload',
  '--grace',
  '--wait',
  '--id',
  '--stream',
  '--outcome',
  '--key',
  '--limit',
  '--from-position',
  '--from-sequence',
  '--since',
  '--subject',
  '--subject-prefix',
  '--rate',
  '--cancel',
  '--follow',
  '--quiet',
  '--config',
  '--port-nats',
  '--seed',
  ...SETTING_KEYS.flatMap((key) => [flagOf(key), `${flagOf(key)}-file`]),
];
const value = fc.oneof(
  fc.constantFrom(
    '1',
    '0',
    '-1',
    '10s',
    '1e3',
    'true',
    'null',
    '',
    '--',
    '-',
    '/nowhere',
    `nats://u:${SECRET}@h`,
    UNREACHABLE.DATABASE_URL,
  ),
  plainText,
  // The system hands over no NUL, and UTF-8 only.
  hostileText.map((text) => text.toWellFormed().replaceAll('\u0000', '')),
);
const flag = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...FLAGS) },
  { weight: 1, arbitrary: hostileText.map((text) => `--${text}`) },
);
const argument = fc.oneof(
  { weight: 4, arbitrary: flag.map((name) => [name]) },
  { weight: 3, arbitrary: fc.tuple(flag, value).map((pair) => [...pair]) },
  { weight: 2, arbitrary: fc.tuple(flag, value).map((pair) => [pair.join('=')]) },
  { weight: 1, arbitrary: value.map((text) => [text]) },
);
const more = fc.array(argument, { maxLength: 4 }).map((list) => list.flat());
const commandLine = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.tuple(fc.constantFrom(...COMMANDS), more).map(([name, rest]) => [...name, ...rest]),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(...STARTERS), more)
      .map(([name, rest]) => [...name, '--no-such-flag', ...rest]),
  },
  { weight: 1, arbitrary: more.filter((list) => !list.some((word) => ['dev', 'demo'].includes(word))) },
);

test('every generated command line ends with a documented exit code and words for a person', async () => {
  const seed = seedFor('command lines');
  for (const args of fc.sample(commandLine, { seed, numRuns: howMany(1_200) })) {
    const output = { stdout: '', stderr: '' };
    const code = await runInProcess(args, {
      env: { ...UNREACHABLE, LOG_LEVEL: 'silent' },
      stdout: collect((text) => (output.stdout += text)),
      stderr: collect((text) => (output.stderr += text)),
    });
    expectPlain({ code, ...output }, args);
  }
});

/** As processes: what only a real start, its signals and its end would show. */
test.each([
  [['relay'], EXIT.unreachable],
  [['relay', '--grace', '1e9'], EXIT.usage],
  [['relay', '--config', '/nowhere/\u001b[31m.json'], EXIT.configInvalid],
  [['relay', '--database-url', `postgres://u:${SECRET}@h/d`], EXIT.configInvalid],
  [['migrate', '--database-url', 'postgres://127.0.0.1:1/%zz'], EXIT.unreachable],
])('as a process: %j ends with %i', async (args, expected) => {
  const result = await spawnCli(args, UNREACHABLE);
  expect(result.code).toBe(expected);
  expectPlain(result, args);
});

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function expectPlain({ code, stdout, stderr }: Result, args: readonly string[]): void {
  const about = `${JSON.stringify(args)} -> ${code}\n${stderr}`;
  expect([EXIT.ok, EXIT.usage, EXIT.configInvalid, EXIT.unreachable], about).toContain(code);
  expect(stdout + stderr, about).not.toMatch(/^\s+at .*:\d+|node:internal|This was not expected/m);
  // A secret that somebody wrote as an argument is quoted by the parser of arguments, at most.
  if (!args.some((arg) => arg.includes(SECRET))) expect(stdout + stderr, about).not.toContain(SECRET);
  if (code === EXIT.ok || isDiagnosis(stdout, stderr)) return;
  expect(stdout, about).toBe('');
  expect(stderr, about).toMatch(/^(error: |hint: |Usage: )/);
  expect(stderr, about).toContain('hint: ');
}

/** What `doctor` finds is its data, whatever it ends with. */
function isDiagnosis(stdout: string, stderr: string): boolean {
  const lines = stdout.trimEnd().split('\n');
  const isFinding = (line: string) => /^(ok|unseen|warning|problem) |^ {10}(cause|fix) |^\{"ok":/.test(line);
  return lines.every(isFinding) && /^\d+ checks? in .*: /.test(stderr);
}

function collect(write: (text: string) => void): Writable {
  return new Writable({
    write(chunk, _encoding, done) {
      write(String(chunk));
      done();
    },
  });
}
