import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { createProgressBar } from '../../src/cli/progress-bar.ts';

/** A bar on a terminal, or elsewhere, by a clock that the test turns. */
function createRig(
  options: { isTTY?: boolean; hidden?: boolean; env?: Record<string, string>; columns?: number } = {},
) {
  const { isTTY = true, hidden = false, env = {}, columns = 100 } = options;
  const written: string[] = [];
  const stderr = new Writable({
    write(chunk, _, done) {
      written.push(String(chunk));
      done();
    },
  });
  let nowMs = 0;
  const context = { stderr: Object.assign(stderr, { isTTY, columns }), env };
  const bar = createProgressBar({ context, hidden, nowMs: () => nowMs });
  return {
    written,
    clear: bar.clear,
    /** At a moment. */
    at(ms: number, state: Partial<Parameters<typeof bar.show>[0]>) {
      nowMs = ms;
      bar.show({ what: 'replaying', count: 0, unit: 'events', ...state });
      return written.at(-1);
    },
  };
}

const ERASE = '\r\u001b[K';
const NO_COLOR = { NO_COLOR: '1' };

test('on a terminal: a bar with count, share, pace and what is left, drawn over and taken away again', () => {
  const rig = createRig({ env: NO_COLOR });
  rig.at(0, { count: 0, total: 10_000 });
  expect(rig.written).toEqual([]);
  expect(rig.at(1_000, { count: 1_000, total: 10_000 })).toBe(
    `${ERASE}replaying  [##------------------]  10 %  1,000 of 10,000 events  1,000/s  9 s left`,
  );
  expect(rig.at(1_050, { count: 1_050, total: 10_000 })).toContain('1,000 of'); // Too soon to be drawn anew.
  expect(rig.at(2_000, { count: 10_000, total: 10_000 })).toBe(
    `${ERASE}replaying  [####################]  100 %  10,000 of 10,000 events  5,000/s`,
  );
  rig.clear();
  expect(rig.written.at(-1)).toBe(ERASE);
  const { length } = rig.written;
  rig.clear();
  expect(rig.written.length).toBe(length);
});

test('what is over at once shows nothing, and takes nothing away', () => {
  const rig = createRig();
  rig.at(100, { count: 1 });
  rig.at(400, { count: 2 });
  rig.clear();
  expect(rig.written).toEqual([]);
});

test('colours only where they are wanted, and none with NO_COLOR', () => {
  expect(createRig().at(1_000, { count: 1, total: 2 })).toContain(
    '\u001b[32m[##########----------]\u001b[0m',
  );
  expect(createRig({ env: NO_COLOR }).at(1_000, { count: 1, total: 2 })).not.toContain('\u001b[3');
  expect(createRig({ env: { NO_COLOR: '' } }).at(1_000, { count: 1, total: 2 })).toContain('\u001b[32m');
});

test.each([
  ['no terminal', { isTTY: false }],
  ['a terminal that cannot go back', { isTTY: true, env: { TERM: 'dumb' } }],
])('%s: a plain line every five seconds', (_, options) => {
  const rig = createRig(options);
  for (let second = 0; second <= 12; second++)
    rig.at(second * 1_000, { count: second * 100, total: 100_000 });
  expect(rig.written).toEqual([
    'replaying: 0 %, 500 of 100,000 events, 100/s, 17 min left\n',
    'replaying: 1 %, 1,000 of 100,000 events, 100/s, 17 min left\n',
  ]);
  rig.clear();
  expect(rig.written.length).toBe(2);
});

test('hidden it shows nothing at all', () => {
  for (const isTTY of [true, false]) {
    const rig = createRig({ isTTY, hidden: true });
    rig.at(60_000, { count: 5 });
    rig.clear();
    expect(rig.written).toEqual([]);
  }
});

test('without a total the share may still be known; without either there is no bar', () => {
  const rig = createRig({ env: NO_COLOR });
  rig.at(0, { count: 0, unit: 'rows', share: 0 });
  expect(rig.at(1_000, { count: 700, unit: 'rows', share: 0.25 })).toBe(
    `${ERASE}replaying  [#####---------------]  25 %  700 rows  700/s  3 s left`,
  );
  expect(createRig({ env: NO_COLOR }).at(1_000, { count: 700, unit: 'rows' })).toBe(
    `${ERASE}replaying  700 rows`,
  );
});

test('what is done next begins anew, and what stands still says why instead of how fast', () => {
  const rig = createRig({ env: NO_COLOR });
  rig.at(0, { what: 'counting', count: 0 });
  rig.at(1_000, { what: 'counting', count: 5_000 });
  expect(rig.at(1_200, { count: 0, total: 50 })).toBe(
    `${ERASE}replaying  [--------------------]  0 %  0 of 50 events`,
  );
  expect(rig.at(9_000, { count: 10, total: 50, note: "the lane of stream 'a' is paused" })).toBe(
    `${ERASE}replaying  [####----------------]  20 %  10 of 50 events  the lane of stream 'a' is paused`,
  );
});

test('the pace is that of the last ten seconds', () => {
  const rig = createRig({ env: NO_COLOR });
  for (let second = 0; second <= 20; second++)
    rig.at(second * 1_000, {
      count: second <= 10 ? second * 1_000 : 10_000 + (second - 10) * 10,
      total: 20_200,
    });
  expect(rig.written.at(-1)).toContain('  10/s  17 min left');
});

test('hours are told as hours, and a line is cut where the terminal ends', () => {
  const rig = createRig({ env: NO_COLOR, columns: 40 });
  rig.at(0, { count: 0, total: 1_000_000 });
  const line = rig.at(1_000, { count: 50, total: 1_000_000 }) ?? '';
  expect(line.replace(ERASE, '')).toHaveLength(39);
  const wide = createRig({ env: NO_COLOR, columns: 200 });
  wide.at(0, { count: 0, total: 1_000_000 });
  expect(wide.at(1_000, { count: 50, total: 1_000_000 })).toContain('5.6 h left');
});
