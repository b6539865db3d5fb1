import { NATS_VERSIONS, type NatsVersion } from '../support/nats-server-versions.ts';
import type { PostgresMajor } from '../support/postgres-versions.ts';

/** Servers that the suite runs on together. */
export interface Cell {
  readonly nats: NatsVersion;
  /** Servers in the run's cluster, and replicas of its streams. */
  readonly replicas: 1 | 3;
  readonly postgres: PostgresMajor;
  /** Test files, as vitest filters them. */
  readonly files: readonly string[];
}

/** What talks to NATS, and what to PostgreSQL. */
const OF_NATS = ['guarantees', 'jetstream', 'consumer', 'messaging'];
const OF_POSTGRES = ['guarantees', 'outbox', 'migrate', 'postgres', 'lease', 'inbox', 'consumer'];

/**
 * Those whose streams lie on the run's servers. What kills, freezes or restores a NATS server has one of its own, which is
 * alone: what clusters do then has tests of its own, which start theirs (cluster-*, duplicate-acks, on versions they name).
 */
const REPLICATED = [
  'guarantees/g1-',
  'guarantees/g2-',
  'guarantees/g4-',
  'guarantees/g8-',
  'guarantees/capture-bulk',
  'guarantees/dead-letters',
  'guarantees/failover',
  'guarantees/foreign-writer',
  'guarantees/key-ordering',
  'guarantees/lanes',
  'guarantees/relay-takeover',
  'guarantees/repeated-event-ids',
  'guarantees/stream-that-deletes',
  'guarantees/subscriber',
  'consumer/batches',
  'consumer/consume',
  'consumer/failures',
  'consumer/order',
  'consumer/stop',
];

const LATEST_POSTGRES = '18';

/** Each NATS alone and as a cluster, and each further PostgreSQL. */
export const CELLS: readonly Cell[] = [
  ...NATS_VERSIONS.flatMap((nats): Cell[] => [
    { nats, replicas: 1, postgres: LATEST_POSTGRES, files: OF_NATS },
    { nats, replicas: 3, postgres: LATEST_POSTGRES, files: REPLICATED },
  ]),
  ...(['15', '16'] as const).map(
    (postgres): Cell => ({ nats: '2.9.10', replicas: 1, postgres, files: OF_POSTGRES }),
  ),
];

export function nameOf({ nats, replicas, postgres }: Omit<Cell, 'files'>): string {
  return `PostgreSQL ${postgres}, NATS ${nats} R${replicas}`;
}
