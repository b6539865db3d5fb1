import type { HostileEvent } from './hostile-event.ts';

/** What the lane of the test takes: first tokens of the carried ones. */
export const CAPTURED = ['curated', 'curated.>', '_INBOX.curated'];

export const SUBJECTS: readonly HostileEvent[] = [
  carried('a single token', 'curated'),
  carried('255 bytes', `curated.${'x'.repeat(247)}`),
  carried('255 bytes in 131 characters', `curated.x${'é'.repeat(123)}`),
  carried('124 tokens', `curated${'.a'.repeat(123)}`),
  carried("the server's prefix, but not in front", 'curated.$JS.API.STREAM.DELETE.orders'),
  carried('a dollar at the end of a token', 'curated.price$'),
  carried("the client's inbox prefix in front", '_INBOX.curated'),
  carried('letters of another script', 'curated.渡辺'),
  carried('a character outside of the basic plane', 'curated.🏥'),
  carried('the last character of all, U+10FFFF', 'curated.\u{10ffff}'),
  carried('a composed letter', 'curated.\u00e9'),
  carried('the same letter decomposed, which nobody composes', 'curated.e\u0301'),
  carried('a no-break space, U+00A0', 'curated.a\u00a0b'),
  carried('a C1 control, U+0085', 'curated.a\u0085b'),
  carried('a zero-width space, U+200B', 'curated.a\u200bb'),
  carried('a line separator, U+2028', 'curated.a\u2028b'),
  carried('a right-to-left override, U+202E', 'curated.a\u202eb'),
  carried('a byte order mark, U+FEFF', 'curated.\ufeff'),
  carried('the replacement character itself, U+FFFD', 'curated.\ufffd'),
  carried('a noncharacter, U+FFFF', 'curated.\uffff'),
  carried('colons and slashes', 'curated.a:b/c\\d'),
  carried('quotes', `curated."a"'b'\`c\``),
  carried('SQL', `curated.');drop\u00a0table\u00a0outbox;--`),
  carried('formats and parameters', 'curated.%s%n$1{x}'),
  carried('a line of the protocol, without its blanks', 'curated.+OK'),
  carried('a name of every object', 'curated.__proto__'),
  carried('a word that is no subject in other languages', 'curated.null'),

  refused('empty', ''),
  refused('one dot', '.'),
  refused('two dots', '..'),
  refused('a leading dot', '.curated'),
  refused('a trailing dot', 'curated.a.'),
  refused('an empty token', 'curated..a'),
  refused('everything', '>'),
  refused('any token', '*'),
  refused('a wildcard at the end', 'curated.*'),
  refused('everything below', 'curated.>'),
  refused('a wildcard in the middle', 'curated.*.a'),
  refused('a wildcard in front', '*.a'),
  refused('a wildcard as a part of a token', 'curated.a*'),
  refused('a greater-than as a part of a token', 'curated.>a'),
  refused('a dollar alone', '$'),
  refused('a request to the API of JetStream', '$JS.API.STREAM.DELETE.orders'),
  refused('an acknowledgement', '$JS.ACK.orders.billing.1.1.1.1.0'),
  refused('a request to the server', '$SYS.REQ.SERVER.PING'),
  refused('an entry of a key-value bucket', '$KV.bucket.key'),
  refused('a chunk of an object store', '$O.bucket.C.id'),
  refused('any other word with a dollar in front', '$curated.a'),
  refused('a blank', 'curated.a b'),
  refused('a blank in front', ' curated.a'),
  refused('a blank behind', 'curated.a '),
  refused('a tab', 'curated.a\tb'),
  refused('a line feed behind, where a pattern may end too early', 'curated.a\n'),
  refused('a carriage return', 'curated.a\rb'),
  refused('a line of the protocol', 'curated.a 0\r\n\r\nPUB curated.b 0\r\n'),
  refused('NUL', 'curated.a\u0000'),
  refused('U+0001', 'curated.\u0001'),
  refused('U+001F', 'curated.\u001f'),
  refused('an escape sequence', 'curated.\u001b[31m'),
  refused('DEL', 'curated.\u007f'),
  refused('the first half of a surrogate pair', 'curated.\ud83c'),
  refused('the second half of a surrogate pair', 'curated.\udfe5'),
  refused('256 bytes', `curated.${'x'.repeat(248)}`),
  refused('256 bytes in 132 characters', `curated.${'é'.repeat(124)}`),
  refused('100,000 bytes', `curated.${'x'.repeat(99_992)}`),

  noString('a number', 17),
  noString('an object that turns into a subject', { toString: () => 'curated.a' }),
  noString('a list of tokens', ['curated', 'a']),
  noString('left out', undefined),
];

function carried(about: string, subject: string): HostileEvent {
  return { about, event: { subject }, verdict: 'carried' };
}

function refused(about: string, subject: string): HostileEvent {
  return { about, event: { subject }, verdict: /subject .* cannot be published to/s };
}

/** In SQL the type of the column is the database's own affair. */
function noString(about: string, subject: unknown): HostileEvent {
  return { about, event: { subject }, verdict: /its subject is not a string/, only: 'script' };
}
