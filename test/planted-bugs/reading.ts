import type { PlantedBug } from './bug.ts';

const PACER = 'src/relay/pacer.ts';
const LISTENER = 'src/outbox/listener.ts';

/** Of capture and of the parking gate. */
export const READING: readonly PlantedBug[] = [
  {
    name: 'parking without waiting for the listed holders',
    guarantee: 'G8: stored without the sweep',
    removes: 'P1: those who may have seen the flag down are not waited for, only the last look is made',
    edits: [
      {
        file: PACER,
        search: "phase = { kind: 'parking', waitFor: new Set((await list()).keys()) };",
        replace: "phase = { kind: 'parking', waitFor: new Set((await list()).keys().filter(() => false)) };",
      },
    ],
    scenes: ['parking'],
  },
  {
    name: 'parking without the final read',
    guarantee: 'G8: stored without the sweep',
    removes: 'P1: where nobody held the lock when the flag went up, the relay sleeps without looking again',
    edits: [
      {
        file: PACER,
        search: "phase = { kind: 'parking', waitFor: new Set((await list()).keys()) };",
        replace:
          "phase = { kind: 'parking', waitFor: new Set((await list()).keys()) };\n    if (phase.waitFor.size === 0) return goOnParking(phase.waitFor, AbortSignal.timeout(60_000));",
      },
    ],
    scenes: ['parking'],
  },
  {
    name: 'no drain after LISTEN',
    guarantee: 'G8: stored without the sweep',
    removes:
      'the drain when the listening session is back, and what covers for it: waking when it is lost, and P3, not parking meanwhile',
    edits: [
      { file: LISTENER, search: 'wake(); // What was notified in between is gone: drain.', replace: '' },
      {
        file: LISTENER,
        search: "'the listening session was lost; polling until it is back');\n    wake();",
        replace: "'the listening session was lost; polling until it is back');",
      },
      {
        file: LISTENER,
        search: '`the listening session failed: ${message}`);\n    wake();',
        replace: '`the listening session failed: ${message}`);',
      },
      { file: 'src/relay/term.ts', search: '() => listener?.listening ?? false', replace: '() => true' },
    ],
    scenes: ['parking'],
  },
  {
    name: 'parked events forgotten in recovery',
    guarantee: 'dead letters: set aside is not published',
    removes: 'what rows of the log leave out on purpose does not count as covered when a term begins',
    edits: [
      {
        file: 'src/batch-log/recover.ts',
        search: "(coalesce(range_agg(positions), '{}') + coalesce(range_agg(parked), '{}'))",
        replace: "coalesce(range_agg(positions), '{}')",
      },
    ],
    scenes: ['crashes'],
  },
];
