import pg from 'pg';
import { expect, test } from 'vitest';
import { reasonOf } from '../../src/telemetry/reason.ts';

function serverError(code: string, message: string): Error {
  return Object.assign(new pg.DatabaseError(message, message.length, 'error'), { code, severity: 'ERROR' });
}

test.each([
  ['22P02', 'invalid input syntax for type uuid: "hunter2"', 'invalid input syntax for type uuid: "…"'],
  ['22003', 'value "hunter2" is out of range for type integer', 'value "…" is out of range for type integer'],
  ['22007', 'invalid input syntax for type date: "a "hunter2" b"', 'invalid input syntax for type date: "…"'],
  ['22001', 'value too long for type character varying(3)', 'value too long for type character varying(3)'],
  [
    '23505',
    'duplicate key value violates unique constraint "letters_pkey"',
    'duplicate key value violates unique constraint "letters_pkey"',
  ],
  ['42P01', 'relation "letters" does not exist', 'relation "letters" does not exist'],
])('%s: %s', (code, message, reason) => {
  expect(reasonOf(serverError(code, message))).toBe(reason);
});

test.each(['hunter2', '{"a": hunter2}', '{"hunter2', '"hunter2', '[1, 2, hunter2]', '', '{'])(
  'JSON.parse quotes nothing of %j',
  (text) => {
    const error = (() => {
      try {
        return JSON.parse(text);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(reasonOf(error)).toBe('a text is not valid JSON');
  },
);

test("an ORM's wrapper, which prints the parameters, is taken off, and credentials of URLs are hidden", () => {
  const cause = new Error('cannot reach postgres://me:hunter2@db/x');
  const wrapper = Object.assign(new Error('Failed query: insert … params: hunter2', { cause }), {
    params: ['hunter2'],
  });
  expect(reasonOf(wrapper)).toBe('cannot reach postgres://***@db/x');
});

test('what a handler says itself stays as it is', () => {
  expect(reasonOf(new Error('no such patient'))).toBe('no such patient');
  expect(reasonOf(new SyntaxError('the grammar of "this" is wrong'))).toBe('the grammar of "this" is wrong');
  expect(reasonOf('text')).toBe('text');
});
