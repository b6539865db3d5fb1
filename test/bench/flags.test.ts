import { CommanderError } from 'commander';
import { expect, test } from 'vitest';
import { BENCHES } from '../../bench/benches.ts';
import type { Bench } from '../../bench/context.ts';
import { type Flags, parseFlags } from '../../bench/flags.ts';

const bench = (summary: string): Bench => ({ summary, run: () => Promise.reject(new Error('not run')) });
const benches = {
  drain: bench('a backlog'),
  wal: bench('bytes'),
  scale: { ...bench('millions'), onlyByName: true },
};

interface Parsed {
  readonly flags?: Flags;
  readonly code?: number;
  readonly out: string;
  readonly err: string;
}

function parse(...args: string[]): Parsed {
  const printed = { out: '', err: '' };
  const stdout = (text: string) => {
    printed.out += text;
  };
  const stderr = (text: string) => {
    printed.err += text;
  };
  try {
    return { flags: parseFlags(args, { benches, stdout, stderr }), ...printed };
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { code: error.exitCode, ...printed };
  }
}

test('without anything all run that are not only by name, five times', () => {
  expect(parse().flags).toEqual({
    names: ['drain', 'wal'],
    runs: 5,
    quick: false,
    json: false,
    out: 'bench-report',
  });
});

test('names, each once and in the order given', () => {
  expect(parse('scale', 'drain', 'scale').flags?.names).toEqual(['scale', 'drain']);
});

test('a quick look is one run, unless more are asked for', () => {
  expect(parse('--quick').flags).toMatchObject({ quick: true, runs: 1 });
  expect(parse('--quick', '--runs', '3').flags).toMatchObject({ quick: true, runs: 3 });
});

test.each([
  [['lag'], "error: there is no benchmark 'lag', but: drain, wal, scale"],
  [['constructor'], "error: there is no benchmark 'constructor', but: drain, wal, scale"],
  [['--runs', '0'], "error: option '--runs <n>' argument '0' is invalid. A whole number from 1 to 999."],
  [['--runs', '1e3'], "error: option '--runs <n>' argument '1e3' is invalid. A whole number from 1 to 999."],
  [['--runs'], "error: option '--runs <n>' argument missing"],
  [['--quik'], "error: unknown option '--quik'\n(Did you mean --quick?)"],
])('%j is answered in a line', (args, message) => {
  const { code, out, err } = parse(...args);
  expect(code).not.toBe(0);
  expect(out).toBe('');
  expect(err).toBe(`${message}\n`);
});

test('help lists every benchmark with what it measures', () => {
  const { code, out, err } = parse('--help');
  expect(code).toBe(0);
  expect(err).toBe('');
  expect(out).toContain('  drain  a backlog\n  wal    bytes\n  scale  millions (only by name)\n');
});

test('summaries fit on a line of the help', () => {
  for (const [name, { summary }] of Object.entries(BENCHES)) {
    expect(`${name}: ${summary.length <= 100}`).toBe(`${name}: true`);
    expect(summary).not.toMatch(/[.\n]$/);
  }
});
