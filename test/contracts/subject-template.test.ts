import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseSubjectTemplate } from '../../src/contracts/subject-template.ts';
import { subjectMatches } from '../../src/jetstream/index.ts';
import { isSubject } from '../../src/outbox/event-rules.ts';

const template = parseSubjectTemplate('{country}.patient.{id}');

function build(id: unknown): string {
  return template.build((name) => (name === 'id' ? id : 'ng'));
}

test('parameters are tokens, and what they are not is encoded', () => {
  expect(template.parameters).toEqual(['country', 'id']);
  expect(template.pattern).toBe('*.patient.*');
  expect(build('7')).toBe('ng.patient.7');
  expect(build(7n)).toBe('ng.patient.7');
  expect(build('a.b')).toBe('ng.patient.a%2Eb');
  expect(build('*')).toBe('ng.patient.%2A');
  expect(build('>')).toBe('ng.patient.%3E');
  expect(build('$JS')).toBe('ng.patient.%24JS');
  expect(build('Zoë Ö.')).toBe('ng.patient.Zo%C3%AB%20%C3%96%2E');
  expect(build('😀')).toBe('ng.patient.%F0%9F%98%80');
});

test.each([
  ['', 'an empty string'],
  [undefined, 'undefined'],
  [null, 'null'],
  [{}, 'object'],
  ['\ud800', 'half a character'],
])('%j is no token', (value, what) => {
  expect(() => build(value)).toThrow(
    expect.objectContaining({ code: 'event-invalid', message: expect.stringContaining(what) }),
  );
});

test('whatever the value, it is one token of a subject that can be published to, and comes back', () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(text, (id) => {
      const subject = build(id);
      expect(isSubject(subject)).toBe(true);
      expect(subject.split('.')).toHaveLength(3);
      expect(subjectMatches(template.pattern, subject)).toBe(true);
      expect(template.match(subject)).toEqual({ country: 'ng', id });
    }),
  );
});

test('two values never share a subject', () => {
  const text = fc.string({
    unit: fc.constantFrom('.', '%', '2', 'E', 'e', '*', 'a'),
    minLength: 1,
    maxLength: 4,
  });
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(build(a) === build(b)).toBe(a === b);
    }),
  );
});

test('a subject that another made is none of its', () => {
  for (const subject of [
    'ng.patient',
    'ng.clinic.7',
    'ng.patient.7.8',
    'ng.patient.%',
    'replay.ng.patient.7',
  ])
    expect(template.match(subject)).toBeUndefined();
});

test.each([
  ['', 'empty'],
  ['a..b', 'empty'],
  ['a.*', "'*'"],
  ['a.>', "'>'"],
  ['a.{id}x', "'{id}x'"],
  ['a.{}', "'{}'"],
  ['$JS.a', "'$JS'"],
  ['a b', "'a b'"],
  ['{id}.{id}', 'twice'],
])('%j is refused where it is declared', (text, what) => {
  expect(() => parseSubjectTemplate(text)).toThrow(
    expect.objectContaining({ code: 'config-invalid', message: expect.stringContaining(what) }),
  );
});
