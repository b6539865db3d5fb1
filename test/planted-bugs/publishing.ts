import type { PlantedBug } from './bug.ts';

const CHAIN = 'src/relay/chain/chain.ts';
const KEY_OUTLET = 'src/relay/keys/key-outlet.ts';

/** Of plans and of what becomes of them on the wire. */
export const PUBLISHING: readonly PlantedBug[] = [
  {
    name: 'no durability barrier',
    guarantee: 'G2',
    noticedBy: 'G2 phantom',
    removes: 'the synchronous commit of the plan, which flushes what its read saw',
    edits: [
      {
        file: 'src/relay/term.ts',
        search: "synchronous_commit: 'on',",
        replace: "synchronous_commit: 'off',",
      },
    ],
    scenes: ['flush'],
  },
  {
    name: 'publish before the batch row is committed',
    guarantee: 'G2, write-ahead (L1)',
    noticedBy: 'G2 write-ahead',
    removes: 'waiting for the plan before its messages are sent',
    edits: [
      {
        file: 'src/relay/reading/plan-look.ts',
        search:
          "  if ((await writing) === 'fenced') return 'fenced';\n  planned();\n  for (const draft of drafts) draft.commit(); // L1",
        replace:
          "  for (const draft of drafts) draft.commit();\n  if ((await writing) === 'fenced') return 'fenced';\n  planned();",
      },
    ],
    scenes: ['crashes'],
  },
  {
    name: 'no read-back after a crash',
    guarantee: 'G1',
    noticedBy: 'G1 loss',
    removes:
      'reading the messages in doubt: everything up to the last sequence is taken for what was planned',
    edits: [
      {
        file: 'src/relay/chain/reconcile.ts',
        search: 'const messages = await readBack(link, { stream: stream.name, from: start, to, signal });',
        replace:
          "void [link, readBack, signal];\n    const messages = Array.from({ length: Math.max(0, to - start + 1) }, (_, i) => ({ kind: 'gone' as const, sequence: start + i }));",
      },
      {
        file: 'src/relay/chain/reconcile.ts',
        search: 'const wasStored = storedUnless(context, last);',
        replace: 'void storedUnless;\n    const wasStored = () => true;',
      },
    ],
    scenes: ['crashes'],
  },
  {
    name: 'a plan shortened instead of a marker',
    guarantee: 'a slot is for one event (2.4)',
    noticedBy: 'G1 loss',
    removes: 'the marker in the slot of a refused event: later events move up',
    edits: [
      {
        file: 'src/relay/chain/burial.ts',
        search: 'refill: slots.map(markerInstead(deadSlots)),',
        replace: `refill: slots
          .filter((one) => !deadSlots.includes(one))
          .map((one, i) => ({ ...one, sequence: (slots[0]?.sequence ?? 0) + i })),`,
      },
    ],
    scenes: ['crashes'],
  },
  {
    name: 'healing with message ids',
    guarantee: 'G1, G10',
    noticedBy: 'G1 loss',
    removes: 'repeats without a message id: duplicate tables swallow them',
    edits: [
      {
        file: 'src/relay/lane/cargo.ts',
        search: "return { kind: 'event', event, messageId: null, copy };",
        replace: "return { kind: 'event', event, messageId: event.eventId, copy };",
      },
    ],
    scenes: ['broker-lies'],
  },
  {
    name: 'a lost tail looked for only where the log ends',
    guarantee: 'G1, G10',
    noticedBy: 'G1 loss',
    removes: 'looking further back while a slot does not hold its message',
    edits: [
      {
        file: 'src/relay/chain/reconcile.ts',
        search: 'if (anchor === null || anchor <= span.start || verdict.ours.includes(anchor)) {',
        replace: 'if (anchor === null || anchor > 0) {',
      },
    ],
    scenes: ['lost-tail'],
  },
  {
    name: 'where a healed tail begins is not written down',
    guarantee: 'G3 (key ordering)',
    noticedBy: 'G3 twice',
    removes: 'the row without events that says where the stream had ended',
    edits: [
      {
        file: KEY_OUTLET,
        search: 'if (lost === 0 && bound <= end + 1) return true;',
        replace: 'if (lost >= 0 || bound <= end + 1) return true;',
      },
    ],
    scenes: ['lost-tail'],
  },
  {
    name: 'what was found lost is still called settled',
    guarantee: 'G1, G10 (key ordering)',
    noticedBy: 'G1 loss',
    removes: 'the row that takes back what a lane at rest has said, once a look finds it lost',
    edits: [
      {
        file: KEY_OUTLET,
        search: 'if (lost === 0 && bound <= end + 1) return true;',
        replace: 'if ((lost === 0 || lost > 0) && bound <= end + 1) return true;',
      },
    ],
    scenes: ['lost-tail'],
  },
  {
    name: 'trusting duplicate acks',
    guarantee: 'G1',
    noticedBy: 'G1 loss',
    removes: 'the look into the stream after a duplicate ack (key ordering): it counts as stored',
    edits: [
      {
        file: KEY_OUTLET,
        search: `        if (consignment !== undefined) duplicates.note(consignment.name);
        verifyDuplicates();`,
        replace: `        queue.done(token);
        changed();
        pump();`,
      },
    ],
    scenes: ['broker-lies'],
  },
  {
    name: 'missing message id',
    guarantee: 'G3 inside the window (key ordering)',
    noticedBy: 'G3 twice',
    removes: 'the message id of events outside the chain',
    edits: [
      {
        file: KEY_OUTLET,
        search: 'headerBlock(event, { stream, source, messageId, expectedLastSequence, cloudEvents })',
        replace:
          'headerBlock(event, { stream, source, messageId: messageId && null, expectedLastSequence, cloudEvents })',
      },
    ],
    scenes: ['broker-lies'],
  },
  {
    name: 'blind retry past the window',
    guarantee: 'G3 (key ordering)',
    noticedBy: 'G3 twice',
    removes: 'the look-up of what is in doubt: it is sent again, however old it is',
    edits: [
      {
        file: 'src/relay/lane/look-up.ts',
        search:
          'const stored = await findIn(stream, lowered.doubtful, { link, source, signal, before, subjects });',
        replace:
          'void [findIn, link, source, signal, before, subjects];\n  const stored = new Map<MessageName, number>();',
      },
    ],
    scenes: ['broker-lies'],
  },
  {
    name: 'a look that is good for ever',
    guarantee: 'G3 (key ordering)',
    noticedBy: 'G3 twice',
    removes: 'the second look at what waited longer than half the duplicate window since the first',
    edits: [
      {
        file: 'src/relay/keys/key-outlet.ts',
        search: 'safeUntilMs: asOfMs + windowMs / 2,',
        replace: 'safeUntilMs: asOfMs + windowMs * Number.POSITIVE_INFINITY,',
      },
    ],
    scenes: ['broker-lies'],
  },
  {
    name: 'acks counted at any sequence',
    guarantee: 'a slot is for one event (L2, L3)',
    noticedBy: 'G3 twice',
    removes: 'the comparison of an ack with its slot, and the expected sequence, which covers for it',
    edits: [
      {
        file: CHAIN,
        search: `if (token !== sequence) return gate.doubt(\`stored at sequence \${sequence} instead of \${token}\`); // L3`,
        replace: '',
      },
      {
        file: CHAIN,
        search: 'const cargo = slots.settle(sequence);',
        replace: 'const cargo = slots.settle(token); void sequence;',
      },
      {
        file: CHAIN,
        search: 'const expectedLastSequence = sequence - 1;',
        replace: 'const expectedLastSequence = sequence && null;',
      },
    ],
    scenes: ['broker-lies'],
  },
  {
    name: 'attempts burned by outage',
    guarantee: 'G7',
    noticedBy: 'G7 poison',
    removes: 'the difference between a full stream and an event that can never be stored',
    edits: [
      {
        file: CHAIN,
        search: "else if (outcome.kind === 'refused') refuse(token, outcome.reason);",
        replace:
          "else if (outcome.kind === 'refused' || outcome.kind === 'saturated') refuse(token, outcome.reason);",
      },
    ],
    scenes: ['broker-lies'],
  },
  {
    name: 'header pass-through',
    guarantee: 'G1: a header erases the stream',
    noticedBy: 'G1 loss',
    removes: 'the refusal of reserved headers, in the database and before the wire',
    edits: [
      {
        file: 'migrations/0002_headers_fit_jetstream.sql',
        search: "IF name ~* '^(nats|postcommit)-' THEN",
        replace: 'IF false THEN',
      },
      {
        file: 'src/jetstream/headers.ts',
        search: 'const RESERVED = /^(nats|postcommit)-/i;',
        replace: 'const RESERVED = /^never$/;',
      },
    ],
    scenes: ['broker-lies'],
  },
];
