import type { HostileEvent } from './hostile-event.ts';

const NO_UUID = /eventId is not a UUID|invalid input syntax for type uuid/;

export const EVENT_IDS: readonly HostileEvent[] = [
  carried('null, which is a random one', null),
  carried('all zeros, of no version', '00000000-0000-0000-0000-000000000000'),
  carried('all ones, of no version', 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
  carried('capitals, carried in lower case', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'),
  carried('version 7', '0199f0f5-1c00-7000-8000-000000000001'),

  refused('empty', ''),
  refused('a number as text', '17'),
  refused('a digit too few', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1'),
  refused('a digit too many', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111'),
  refused('a letter that is no digit', 'g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
  refused('digits of full width', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a\uff11\uff11'),
  refused('a URN', 'urn:uuid:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
  refused('a line feed behind', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\n'),
  refused('NUL behind', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\u0000'),
  refused('half a surrogate pair', '\ud800'),
  // PostgreSQL's own type reads these two, and writes them in the usual form.
  { ...refused('braces', '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'), only: 'script' },
  { ...refused('without dashes', 'a0eebc999c0b4ef8bb6d6bb9bd380a11'), only: 'script' },
  { ...refused('a number', 17), only: 'script' },
];

function carried(about: string, eventId: string | null): HostileEvent {
  return { about, event: { eventId }, verdict: 'carried' };
}

function refused(about: string, eventId: unknown): HostileEvent {
  return { about, event: { eventId }, verdict: NO_UUID };
}
