import type { HostileEvent } from './hostile-event.ts';

/** Keys and types have the same rules: both become a header. */
export const KEYS: readonly HostileEvent[] = labels('key');
export const TYPES: readonly HostileEvent[] = labels('type');

function labels(field: 'key' | 'type'): HostileEvent[] {
  const carried = (about: string, value: unknown): HostileEvent => ({
    about,
    event: { [field]: value },
    verdict: 'carried',
  });
  const refused = (about: string, value: string): HostileEvent => ({
    about,
    event: { [field]: value },
    verdict: new RegExp(
      `${field} is empty, longer than 512 bytes, or has a line break(, NUL)? or blanks around it`,
    ),
  });
  const noString = (about: string, value: unknown): HostileEvent => ({
    about,
    event: { [field]: value },
    verdict: new RegExp(`its ${field} is not a string`),
    only: 'script',
  });
  return [
    carried('none', undefined),
    carried('null, which is none', null),
    carried('one character', '0'),
    carried('the word null', 'null'),
    carried('512 bytes', 'x'.repeat(512)),
    carried('512 bytes in 128 characters', '🏥'.repeat(128)),
    carried('blanks inside', 'ward  7\tbed 3'),
    carried('a colon', 'a: b'),
    carried('the text of a reserved header', 'Nats-Rollup: all'),
    carried('wildcards and dots', '*.>..'),
    carried('an escape sequence', 'a\u001b[31mb'),
    carried('DEL', 'a\u007f'),
    carried('a vertical tab and a form feed inside', 'a\u000b\u000cb'),
    carried('a C1 control, U+0085, inside', 'a\u0085b'),
    carried('a zero-width space, U+200B, around', '\u200ba\u200b'),
    carried('a vowel separator, U+180E, inside', 'a\u180eb'),
    carried('a byte order mark, U+FEFF, inside', 'a\ufeffb'),
    carried('a line separator, U+2028, inside', 'a\u2028b'),
    carried('a decomposed letter', 'e\u0301'),
    carried('a right-to-left override', 'a\u202eb'),
    carried('SQL', "'); drop table postcommit.outbox; --"),
    carried('a name of every object', '__proto__'),

    refused('empty', ''),
    refused('513 bytes', 'x'.repeat(513)),
    refused('514 bytes in 257 characters', 'é'.repeat(257)),
    refused('nothing but a blank', ' '),
    refused('a blank in front', ' a'),
    refused('a blank behind', 'a '),
    refused('a tab in front', '\ta'),
    refused('a vertical tab behind', 'a\u000b'),
    refused('a no-break space, U+00A0, in front', '\u00a0a'),
    refused('an ideographic space, U+3000, behind', 'a\u3000'),
    refused('a byte order mark, U+FEFF, in front', '\ufeffa'),
    refused('a line separator, U+2028, behind', 'a\u2028'),
    refused('a line feed', 'a\nb'),
    refused('a carriage return', 'a\rb'),
    refused('a line feed behind, where a pattern may end too early', 'a\n'),
    refused('a forged header', 'a\r\nNats-Rollup: all'),
    refused('the end of all headers', 'a\r\n\r\npayload'),
    refused('NUL', 'a\u0000b'),
    refused('half a surrogate pair', 'a\ud800'),

    noString('a number', 17),
    noString('zero, which is no absence', 0),
    noString('true', true),
    noString('an object', { id: 'a' }),
  ];
}
