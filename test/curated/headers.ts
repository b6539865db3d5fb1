import type { HostileEvent, Verdict } from './hostile-event.ts';

const PRINTABLE = Array.from({ length: 94 }, (_, i) => String.fromCharCode(0x21 + i))
  .join('')
  .replace(':', '');

/** `{"a": "…"}` as the database writes it: eight bytes and the value. */
const filled = (bytes: number) => 'x'.repeat(bytes - '{"a": ""}'.length);

export const HEADERS: readonly HostileEvent[] = [
  carried('none', undefined),
  carried('null, which is none', null),
  carried('an empty object', {}),

  name('each printable character but the colon', PRINTABLE),
  name('one dash', '-'),
  name('a number, which objects put in front', '17'),
  name('__proto__', '__proto__'),
  name('constructor', 'constructor'),
  name('toJSON', 'toJSON'),
  name('the version line', 'NATS/1.0'),
  name('a status', 'Status'),
  name('a transfer encoding', 'Transfer-Encoding'),
  name('Nats without its dash', 'Nats'),
  name('Nats with an underscore', 'Nats_Rollup'),
  name('Nats- not in front', 'x-Nats-Rollup'),
  name('Postcommit as a part of a word', 'Postcommitted-At'),
  name('1,000 characters', 'n'.repeat(1_000)),
  carried('two names that differ in case only', { trace: 'a', Trace: 'b', TRACE: 'c' }),
  carried('1,000 headers', Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`h${i}`, String(i)]))),

  value('empty', ''),
  value('the word null', 'null'),
  value('colons', ':a: b:'),
  value('a reserved header as text', 'Nats-Rollup: all'),
  value('the version line with a status', 'NATS/1.0 503'),
  value('a tab inside', 'a\tb'),
  value('a vertical tab and a form feed inside', 'a\u000b\u000cb'),
  value('an escape sequence', 'a\u001b[31m'),
  value('U+0001 and DEL', '\u0001\u007f'),
  value('a C1 control, U+0085, inside', 'a\u0085b'),
  value('a zero-width space, U+200B, around', '\u200ba\u200b'),
  value('a byte order mark, U+FEFF, inside', 'a\ufeffb'),
  value('a line separator, U+2028, inside', 'a\u2028b'),
  value('quotes and backslashes', '"\\"\\\\u0000\''),
  value('a character outside of the basic plane', '🏥'),
  value('a comma, which joins the values of one name', 'a, b'),

  carried('60,000 bytes', { a: filled(60_000) }),
  carried('60,000 bytes in 20,000 characters', { a: '渡'.repeat(19_997) }),
  {
    about: '60,000 bytes beside the longest key and type',
    event: { headers: { a: filled(60_000) }, key: 'k'.repeat(512), type: 't'.repeat(512) },
    verdict: 'carried',
  },
  refused('60,001 bytes', { a: filled(60_001) }, /headers of 60001 bytes are larger than the limit of 60000/),
  refused(
    '30,000 quotes, which JSON writes in two bytes each',
    { a: '"'.repeat(30_000) },
    /headers of 60009 bytes are larger than the limit of 60000/,
  ),

  badName('empty', ''),
  badName('a blank', ' '),
  badName('a blank inside', 'a b'),
  badName('a blank behind', 'a '),
  badName('a tab', 'a\tb'),
  badName('a colon', ':'),
  badName('a colon inside', 'a:b'),
  badName('a line feed behind, where a pattern may end too early', 'a\n'),
  badName('a forged header', 'a: b\r\nNats-Rollup'),
  badName('NUL', 'a\u0000'),
  badName('DEL', 'a\u007f'),
  badName('no ASCII', 'Größe'),
  badName('a letter that looks like ASCII', 'N\u0430ts-Rollup'),
  badName('a byte order mark, U+FEFF', '\ufeffa'),
  badName('half a surrogate pair', 'a\ud800'),

  reserved('what erases a stream', 'Nats-Rollup'),
  reserved('what erases a stream, in lower case', 'nats-rollup'),
  reserved('what the server deduplicates by', 'NATS-MSG-ID'),
  reserved('what the server expects', 'Nats-Expected-Last-Sequence'),
  reserved('what lets a message expire', 'Nats-TTL'),
  reserved('what nobody knows yet', 'Nats-From-The-Future'),
  reserved('nothing behind the dash', 'Nats-'),
  reserved("the relay's event id", 'Postcommit-Event-Id'),
  reserved("the relay's marker, in capitals", 'POSTCOMMIT-SKIPPED'),
  reserved('nothing behind the dash', 'postcommit-'),

  noText('a number', 3),
  noText('zero', 0),
  noText('true', true),
  noText('null', null),
  noText('an object', { nested: 'b' }),
  noText('a list', ['a', 'b']),
  { ...noText('undefined', undefined), only: 'script' },
  { ...noText('a function', () => 'b'), only: 'script' },
  refused(
    'a bad one behind a good one',
    { a: 'b', tries: 3 },
    /value of (its )?header '?tries'? is not a string/,
  ),

  unfit('a line feed', 'b\nc'),
  unfit('a carriage return', 'b\rc'),
  unfit('a forged header', 'b\r\nNats-Rollup: all'),
  unfit('the end of all headers', 'b\r\n\r\npayload'),
  unfit('a line feed behind', 'b\n'),
  unfit('nothing but a blank', ' '),
  unfit('a blank in front', ' b'),
  unfit('a blank behind', 'b '),
  unfit('a tab behind', 'b\t'),
  unfit('a no-break space, U+00A0, in front', '\u00a0b'),
  unfit('an ogham space, U+1680, behind', 'b\u1680'),
  unfit('an ideographic space, U+3000, in front', '\u3000b'),
  unfit('a byte order mark, U+FEFF, in front', '\ufeffb'),
  unfit('a paragraph separator, U+2029, behind', 'b\u2029'),
  unfit('NUL', 'b\u0000c'),
  unfit('half a surrogate pair', '\udc00'),

  noObject('a list', ['a']),
  noObject('a text', 'a: b'),
  noObject('a number', 17),
  noObject('true', true),
  { ...noObject('a Map, which has no properties', new Map([['a', 'b']])), only: 'script' },
  { ...noObject("fetch's Headers, which have none either", new Headers({ a: 'b' })), only: 'script' },
];

function carried(about: string, headers: unknown): HostileEvent {
  return { about, event: { headers }, verdict: 'carried' };
}

function refused(about: string, headers: unknown, verdict: Verdict): HostileEvent {
  return { about, event: { headers }, verdict };
}

/** An own property whatever its name: a literal `__proto__` would set the prototype. */
function named(header: string): Record<string, string> {
  return Object.fromEntries([[header, 'b']]);
}

function name(about: string, header: string): HostileEvent {
  return carried(`name: ${about}`, named(header));
}

function badName(about: string, header: string): HostileEvent {
  return refused(`name: ${about}`, named(header), /header name .* is not allowed/s);
}

function reserved(about: string, header: string): HostileEvent {
  return refused(
    `reserved name ${header}: ${about}`,
    named(header),
    new RegExp(`header '?${header}'? is reserved`),
  );
}

function value(about: string, text: string): HostileEvent {
  return carried(`value: ${about}`, { a: text });
}

function noText(about: string, given: unknown): HostileEvent {
  return refused(`value: ${about}`, { a: given }, /value of (its )?header '?a'? is not a string/);
}

function unfit(about: string, text: string): HostileEvent {
  const verdict = /value of (its )?header '?a'? has a line break(, NUL)? or blanks around it/;
  return refused(`value: ${about}`, { a: text }, verdict);
}

function noObject(about: string, headers: unknown): HostileEvent {
  return refused(about, headers, /headers (are not an|must be a JSON) object/);
}
