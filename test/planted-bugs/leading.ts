import type { PlantedBug } from './bug.ts';

const PLAN = 'src/batch-log/plan.ts';
const SCHEMA = 'migrations/0000_postcommit.sql';
const NO_PRIMARY_KEY = {
  file: SCHEMA,
  search: 'CONSTRAINT "batches_stream_batch_pk" PRIMARY KEY("stream","batch"),',
  replace: '',
};

/** Of leaders and their successors, of what is kept and for how long, and of consumers. */
export const LEADING: readonly PlantedBug[] = [
  {
    name: 'no epoch predicate and no primary key',
    guarantee: 'fencing (2.3, 2.4)',
    noticedBy: 'G3 twice',
    removes: "the condition on the epoch in a plan, and the log's primary key, which covers for it",
    edits: [
      { file: PLAN, search: 'select $1, $2, $3, epoch, $5,', replace: 'select $1, $2, $3, $4::int8, $5,' },
      { file: PLAN, search: 'from postcommit.lease where epoch = $4', replace: 'from postcommit.lease' },
      {
        file: PLAN,
        search: '(select epoch from postcommit.lease where epoch = $1)',
        replace: '(select $1::int8 as epoch)',
      },
      NO_PRIMARY_KEY,
    ],
    scenes: ['two-leaders'],
  },
  {
    name: 'zombie plans a batch',
    guarantee: 'fencing (2.3)',
    noticedBy: 'G3 twice',
    removes: 'waiting for plans in flight before the log is read, and the primary key, which covers for it',
    edits: [
      {
        file: 'src/lease/lease.ts',
        search:
          "  await session.query({ text: 'lock table postcommit.batches in share row exclusive mode' });\n",
        replace: '',
      },
      NO_PRIMARY_KEY,
    ],
    scenes: ['two-leaders'],
  },
  {
    name: 'rotation without the epoch',
    guarantee: 'fencing (2.6)',
    noticedBy: 'fencing',
    removes: 'the condition on the epoch of whoever moves inserts to another segment',
    edits: [
      {
        file: 'src/lease/lease.ts',
        search: '(select from postcommit.lease where epoch = $1 for update)\n           select setval',
        replace:
          '(select from postcommit.lease where epoch = $1 or true for update)\n           select setval',
      },
    ],
    scenes: ['two-leaders'],
  },
  {
    name: 'a segment emptied that is planned but not stored',
    guarantee: 'G1',
    noticedBy: 'G1 loss',
    removes: 'the difference between planned and stored when a segment is emptied',
    edits: [
      {
        file: 'src/outbox/emptying.ts',
        search: "return rows === 0 ? { kind: 'settled' } : { kind: 'unsettled', rows, streams };",
        replace: "void [rows, streams];\n  return { kind: 'settled' };",
      },
    ],
    scenes: ['segments'],
  },
  {
    name: 'prune too early',
    guarantee: 'G1',
    noticedBy: 'G1 loss',
    removes:
      'what keeps a row of the log: events that are retained, not settled, or ground for reconciliations (they cover for each other)',
    edits: [
      {
        file: 'src/batch-log/prune.ts',
        search: `where b.read_to >= $7 or upper(b.positions) > $8 or upper(b.parked) > $8
                   or (b.positions <> '{}' and not (\${IS_SETTLED}))
                   or (b.incarnation = $2 and b.ordering = 'stream' and b.last_sequence > $3::int8 - \${SLOTS_KEPT})`,
        replace: `where b.read_to >= $7 or ($8::int8 < 0 and $2 = '' and $3::int8 - \${SLOTS_KEPT} < 0 and (\${IS_SETTLED}))`,
      },
    ],
    scenes: ['segments'],
  },
  {
    name: 'graves dug while others are closed are forgotten',
    guarantee: 'G1',
    noticedBy: 'G1 loss',
    removes: 'the copy in key-graves close(): the bug found today, as it was',
    edits: [
      {
        file: 'src/relay/keys/key-graves.ts',
        search: 'const closing = [...graves];',
        replace: 'const closing = graves;',
      },
    ],
    scenes: ['broker-lies'],
  },
  {
    name: 'ack before commit',
    guarantee: 'G5',
    noticedBy: 'G5 effects',
    removes: 'the order of effect and acknowledgement in a consumer',
    edits: [
      {
        file: 'src/consumer/work/worker.ts',
        search: '  const { transact, settings, stopping, aborting, trouble } = options;',
        replace:
          '  const { transact, settings, stopping, aborting, trouble } = options;\n  for (const { delivery } of jobs) delivery?.ack();',
      },
    ],
    scenes: ['consumer'],
  },
];
