import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import type { LogRow, StreamMessage } from '../support/stream-history.ts';
import { type Evidence, type LedgerEntry, violationsOf } from './system/checker.ts';

const PATIENTS = ['ada', 'bob'] as const;

test('a run in which everything held has no violation', () => {
  expect(violationsOf(sound())).toEqual([]);
});

test.each<{ what: string; harm: (evidence: Draft) => void; violation: RegExp }>([
  {
    what: 'a lost event',
    harm: ({ messages }) => messages.splice(2, 1),
    violation: /^G1 loss: 1: ada version 2/,
  },
  {
    what: 'a phantom',
    harm: ({ ledger, effects }) => [ledger.shift(), effects.shift()],
    violation: /^G2 phantom: 1: .* at 1 was never/,
  },
  {
    what: 'another payload',
    harm: ({ messages }) => replace(messages, 0, { payload: 'another' }),
    violation: /^changed: 1/,
  },
  {
    what: 'another subject',
    harm: ({ messages }) => replace(messages, 0, { subject: 'gb.patient.x' }),
    violation: /^changed: 1/,
  },
  {
    what: 'one twice in the stream',
    harm: ({ messages }) => messages.push({ ...at(messages, 5), sequence: 7 }),
    violation: /^G3 twice in the stream \(stream\): 1: .* at 6 and 7/,
  },
  {
    what: 'two of a patient in the wrong order',
    harm: ({ messages }) => {
      const [first, third] = [at(messages, 0), at(messages, 2)];
      replace(messages, 0, { ...third, sequence: 1 });
      replace(messages, 2, { ...first, sequence: 3 });
    },
    violation: /^G4 order: 1: ada: version 1 at 3 behind version 2 at 1/,
  },
  {
    what: 'one behind another that was written after its commit',
    harm: (draft) => {
      const [second, third] = [at(draft.messages, 3), at(draft.messages, 4)];
      replace(draft.messages, 3, { ...third, sequence: 4 });
      replace(draft.messages, 4, { ...second, sequence: 5 });
      oneByOne(draft);
    },
    violation: /^G4 total order: 1: .*5 at 5 was committed before that at 4/,
  },
  {
    what: 'two effects',
    harm: ({ effects }) => effects.push(at(effects, 0)),
    violation: /^G5 effects: 1: .* 2 effects/,
  },
  {
    what: 'effects in the wrong order',
    harm: ({ effects }) => effects.push(...effects.splice(0, 1)),
    violation: /^G5 order of effects: 1: ada: version 1 after version 3/,
  },
  {
    what: 'no effect',
    harm: ({ effects }) => effects.pop(),
    violation: /^G5 effects: 1: bob version 3 .* had none/,
  },
  {
    what: 'an effect of nothing',
    harm: ({ effects }) => effects.push('00000000-0000-4000-8000-999999999999'),
    violation: /^G2 phantom: 1: .* had an effect/,
  },
  {
    what: 'a writer that was refused',
    harm: ({ writersRefused }) => writersRefused.push('55P03 in a single'),
    violation: /^G6 writers: 1: 55P03/,
  },
  {
    what: 'a dead letter of an outage',
    harm: ({ letters }) => letters.push({ id: 'x', state: 'resolved', outcome: 'failed', reason: 'timeout' }),
    violation: /^G7 poison: 1: x is a dead letter \(failed\): timeout/,
  },
  {
    what: 'a dead letter that does not come back',
    harm: ({ letters }) =>
      letters.push({ id: 'x', state: 'parked', outcome: 'refused', reason: 'too large' }),
    violation: /^dead letters: 1: x was retried and is parked/,
  },
  {
    what: 'a plan of an older epoch',
    harm: ({ log }) =>
      log.push({ ...at(log, 0), batch: 2, epoch: 1, firstSequence: 7, lastSequence: 6, positions: [] }),
    violation: /^fencing: 1: batch 2 is of epoch 1/,
  },
  {
    what: 'too much memory',
    harm: (draft) => Object.assign(draft, { peakMiB: 2_000 }),
    violation: /^memory: .* 2000 MiB/,
  },
  {
    what: 'a backlog that stays',
    harm: (draft) => Object.assign(draft, { lateMs: 60_000 }),
    violation: /^liveness: /,
  },
  {
    what: 'a message at another place than its plan',
    harm: (draft) => {
      const { messages, log } = draft;
      const outbox = draft.ledger.map(({ id, subject }, i) => ({
        position: i + 1,
        eventId: id,
        subject,
        payload: at(messages, i).payload,
      }));
      const moved = messages.map((message) => ({ ...message, sequence: message.sequence + 1 }));
      Object.assign(draft, { history: { outbox, messages: moved, log } });
    },
    violation: /^audit: 6: misplaced: 1 at 2, planned for 1/,
  },
])('$what is a violation', ({ harm, violation }) => {
  const draft = sound();
  harm(draft);
  expect(violationsOf(draft)).toEqual([expect.stringMatching(violation)]);
});

test('where no two transactions overlap, the order of their commits is sound', () => {
  const draft = sound();
  oneByOne(draft);
  expect(violationsOf(draft)).toEqual([]);
});

test('an event that had to leave its place may come late', () => {
  const draft = swapped();
  draft.displaced.push(1);
  expect(violationsOf(draft)).toEqual([]);
});

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer Item)[] ? Item[] : T[K] };
type Draft = Mutable<Evidence>;

/** Three changes of each of two patients, stored and consumed in turns. */
function sound(): Draft {
  const ledger: LedgerEntry[] = [1, 2, 3].flatMap((version) =>
    PATIENTS.map((key, i) => ({
      id: `00000000-0000-4000-8000-00000000000${2 * version + i}`,
      key,
      version,
      subject: `ng.patient.${key}`,
      digest: createHash('md5').update(`${key} ${version}`).digest('hex'),
      committedIn: 2 * version + i,
      begunAfter: 0,
    })),
  );
  const messages: StreamMessage[] = ledger.map(({ id, key, version, subject }, i) => ({
    sequence: i + 1,
    source: 'a database',
    position: i + 1,
    eventId: id,
    subject,
    payload: `${key} ${version}`,
    skipped: '',
  }));
  const log: LogRow[] = [
    {
      batch: 1,
      epoch: 2,
      ordering: 'stream',
      kind: 'new',
      firstSequence: 1,
      lastSequence: 6,
      settledTo: null,
      positions: [1, 2, 3, 4, 5, 6],
      parked: [],
    },
  ];
  return {
    ordering: 'stream',
    ledger,
    messages,
    effects: ledger.map(({ id }) => id),
    letters: [],
    displaced: [],
    log,
    history: undefined,
    writersRefused: [],
    peakMiB: 100,
    lateMs: undefined,
  };
}

/** No two transactions overlap. */
function oneByOne({ ledger }: Draft): void {
  for (const [i, { committedIn }] of ledger.entries()) replace(ledger, i, { begunAfter: committedIn });
}

/** The first change of a patient lies behind the second. */
function swapped(): Draft {
  const draft = sound();
  const [first, third] = [at(draft.messages, 0), at(draft.messages, 2)];
  replace(draft.messages, 0, { ...third, sequence: 1 });
  replace(draft.messages, 2, { ...first, sequence: 3 });
  return draft;
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new Error(`there is no item ${index}`);
  return item;
}

function replace<T>(items: T[], index: number, changes: Partial<T>): void {
  items[index] = { ...at(items, index), ...changes };
}
