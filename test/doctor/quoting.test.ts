import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { shellWord, sqlName, sqlText } from '../../src/doctor/quoting.ts';

test.each(['letters', 'a b', "it's", 'x;touch /tmp/y', '$(id)', '`id`', 'a"b\\', '*', ''])(
  'a shell takes %j for one word, and for what it is',
  (name) => {
    expect(execFileSync('/bin/sh', ['-c', `printf %s ${shellWord(name)}`]).toString()).toBe(name);
  },
);

test('SQL takes a text for a text, and a name for a name', () => {
  expect(sqlText("it's")).toBe("'it''s'");
  expect(sqlName('a"b')).toBe('"a""b"');
});
