import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { plainLine, type Snapshot, sparkline, viewLines } from '../../src/demo/live-view.ts';
import { createScreen, type Terminal } from '../../src/demo/screen.ts';
import { createStyle, cutTo } from '../../src/demo/style.ts';

const SNAPSHOT: Snapshot = {
  elapsedMs: 7_420,
  phase: 'clinics at work',
  committed: 3_412,
  rolledBack: 214,
  inStream: 3_380,
  perSecond: 284,
  backlog: 32,
  backlogHistory: [0, 16, 32],
  oldestMs: 40,
  effects: 3_011,
  refused: 0,
  kills: 2,
  relays: [
    { number: 3, pid: 4711, role: 'leader' },
    { number: 4, pid: 4712, role: 'starting' },
  ],
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: that is how a colour begins.
const COLOR = /\u001b\[[0-9;]*m/g;

test('the view shows rate, backlog, age, kills, duplicates, effects and who leads', () => {
  const text = viewLines(SNAPSHOT, createStyle(false)).join('\n');
  for (const part of ['3,412', '284/s', 'oldest 0.04 s', '0 duplicates refused', '3,011', '▁▅█'])
    expect(text).toContain(part);
  expect(text).toContain('relay 3 (pid 4711) leads, relay 4 (pid 4712) starts');
});

test('colours change nothing but colours', () => {
  const colored = viewLines(SNAPSHOT, createStyle(true)).join('\n');
  expect(colored).toMatch(COLOR);
  expect(colored.replace(COLOR, '')).toBe(viewLines(SNAPSHOT, createStyle(false)).join('\n'));
});

test('the plain line holds the same numbers', () => {
  expect(plainLine(SNAPSHOT)).toBe(
    '7.4 s clinics at work: committed 3,412, in stream 3,380 (284/s), backlog 32 (oldest 0.04 s), effects 3,011, duplicates refused 0, kills 2',
  );
});

test('a sparkline is relative to its highest value', () => {
  expect(sparkline([])).toBe('');
  expect(sparkline([0, 0])).toBe('▁▁');
  expect(sparkline([0, 1, 700])).toBe('▁▂█');
});

test('a line is cut to its columns without counting or losing colours', () => {
  const { bold } = createStyle(true);
  expect(cutTo(`${bold('abc')}def`, 4)).toBe(`${bold('abc')}d`);
  expect(cutTo(bold('abc'), 2)).toBe('\u001b[1mab\u001b[0m');
});

function terminal(facts: { isTTY: boolean; columns?: number }): { output: Terminal; written: string[] } {
  const written: string[] = [];
  const output = new Writable({
    write(chunk, _encoding, done) {
      written.push(String(chunk));
      done();
    },
  });
  return { output: Object.assign(output, facts), written };
}

test('a terminal is redrawn in place, and no line is wider than it', () => {
  const { output, written } = terminal({ isTTY: true, columns: 10 });
  const screen = createScreen(output);
  screen.show(['0123456789', 'second'], 'plain');
  screen.show(['again'], 'plain');
  expect(written[0]).toContain('012345678\u001b[K\nsecond\u001b[K\n');
  expect(written[1]).toContain('\u001b[2A\ragain\u001b[K\n\u001b[J');
  screen.clear();
  expect(written[2]).toBe('\u001b[1A\r\u001b[J');
});

test('a note stays above the block, which is drawn again below it', () => {
  const { output, written } = terminal({ isTTY: true });
  const screen = createScreen(output);
  screen.show(['block'], 'plain');
  screen.note('note');
  expect(written.slice(1).join('')).toBe('\u001b[1A\r\u001b[Jnote\nblock\u001b[K\n\u001b[J');
});

test('what is no terminal gets a plain line once a second, without control characters', () => {
  const { output, written } = terminal({ isTTY: false });
  const screen = createScreen(output);
  screen.note('note');
  screen.show(['block'], 'plain 1');
  screen.show(['block'], 'plain 2');
  screen.clear();
  expect(written).toEqual(['note\n', 'plain 1\n']);
});
