import type { PlantedBug } from './bug.ts';

const PACER = 'src/relay/reading/pacer.ts';
const CAPTURE = 'src/outbox/capture.ts';
const GAPS = 'src/outbox/gaps.ts';
const LISTENER = 'src/outbox/listener.ts';

/** Of capture and of the parking gate. */
export const READING: readonly PlantedBug[] = [
  {
    name: 'plain cursor',
    guarantee: 'G1',
    noticedBy: 'G1 loss',
    removes: 'gaps: what a read passes unseen beyond the cursor is forgotten',
    edits: [
      {
        file: CAPTURE,
        search: 'gaps.add(complementOf(rangesOf(fresh), cursor + 1, readTo));',
        replace: 'void [fresh, cursor, readTo];',
      },
    ],
    scenes: ['capture'],
  },
  {
    name: 'gap closed by a read begun before the listing returned',
    guarantee: 'G1',
    noticedBy: 'G1 loss',
    removes: 'R4: a listing during the look counts for that look',
    edits: [
      {
        file: CAPTURE,
        search: '      const readTo = reach({ look, result, cursor });',
        replace:
          '      gaps.listed(await listHolders(session));\n      const readTo = reach({ look, result, cursor });',
      },
    ],
    scenes: ['capture'],
  },
  {
    name: 'gap closed by a read that its limit cut off',
    guarantee: 'G1',
    noticedBy: 'G1 loss',
    removes: 'C1: a look counts as complete although a limit ended it',
    edits: [
      {
        file: CAPTURE,
        search: '  return Math.min(...limits);',
        replace: '  void limits;\n  return Number.POSITIVE_INFINITY;',
      },
    ],
    scenes: ['capture'],
  },
  {
    name: 'gate without a new look after a holder left',
    guarantee: 'G4',
    noticedBy: 'G4 order',
    removes: 'C3: a gap stays gated although a holder has left since it was looked into',
    edits: [
      {
        file: GAPS,
        search: '      cohort.holders.delete(id);\n      cohort.looked = false; // C3',
        replace: '      cohort.holders.delete(id);',
      },
      {
        file: GAPS,
        search:
          '    cohort.looked = false; // C3: who left between the last look and this first listing is not in it.\n',
        replace: '',
      },
    ],
    scenes: ['capture'],
  },
  {
    name: 'holders by pid instead of virtual transaction',
    guarantee: 'G4, G8',
    noticedBy: 'G4 order',
    removes: "the difference between a backend's transaction and its next one",
    edits: [
      {
        file: 'src/outbox/holders.ts',
        search: 'select h.virtualtransaction,\n',
        replace: 'select h.pid::text,\n',
      },
    ],
    scenes: ['capture'],
  },
  {
    name: 'gaps and new rows read in two snapshots',
    guarantee: 'G4',
    noticedBy: 'G4 order',
    removes: 'C2: gaps are looked into by a statement of their own, before the new rows',
    edits: [
      {
        file: CAPTURE,
        search: `  const result = await readEvents(session, {
    cursor,
    gaps: ranges,
    gapsOnly,
    gate,
    segments: live,
    strays,
    limit,
    many,
    large,
  });
  return { look, result, segments: live };`,
        replace: `  const request = { cursor, gaps: ranges, gapsOnly, gate, segments: live, strays, limit, many, large };
  const whole = () => readEvents(session, request);
  if (ranges.length === 0 || gapsOnly) return { look, result: await whole(), segments: live };
  const old = await readEvents(session, { ...request, gapsOnly: true });
  if (old.cut || old.gateOpened) return { look, result: await whole(), segments: live };
  const fresh = await readEvents(session, { ...request, gaps: [] });
  return { look, result: { ...fresh, events: [...old.events, ...fresh.events] }, segments: live };`,
      },
    ],
    scenes: ['capture'],
  },
  {
    name: 'parking without waiting for the listed holders',
    guarantee: 'G8: stored without the sweep',
    noticedBy: 'liveness: (a writer that has seen the flag down)',
    removes: 'P1: those who may have seen the flag down are not waited for, only the last look is made',
    edits: [
      {
        file: PACER,
        search: "phase = { kind: 'parking', waitFor: new Set((await list()).keys()) };",
        replace:
          "phase = { kind: 'parking', waitFor: new Set([...(await list()).keys()].filter(() => false)) };",
      },
    ],
    scenes: ['parking'],
  },
  {
    name: 'parking without the final read',
    guarantee: 'G8: stored without the sweep',
    noticedBy: 'liveness: (a commit just before the flag is up)',
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
    noticedBy: 'liveness: (a notification while nobody listens)',
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
        search: `\`the listening session failed: \${message}\`);\n    wake();`,
        replace: `\`the listening session failed: \${message}\`);`,
      },
      { file: 'src/relay/term.ts', search: '() => listener?.listening ?? false', replace: '() => true' },
    ],
    scenes: ['parking'],
  },
  {
    name: 'parked events forgotten in recovery',
    guarantee: 'dead letters: set aside is not published',
    noticedBy: 'dead letters',
    removes: 'what rows of the log leave out on purpose does not count as covered when a term begins',
    edits: [
      {
        file: 'src/batch-log/recover.ts',
        search: "coalesce(range_agg(positions), '{}') + coalesce(range_agg(parked), '{}')",
        replace: "coalesce(range_agg(positions), '{}')",
      },
    ],
    scenes: ['crashes'],
  },
];
