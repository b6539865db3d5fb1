import { parseMultirange } from '../../src/postgres/position-ranges.ts';
import type { Faults } from '../report/result.ts';
import type { Site } from './site.ts';
import { type StreamSpan, visitStream } from './stream-facts.ts';

/** A moment at which all that was committed had been relayed. */
export interface Level {
  readonly position: number;
  readonly sequence: number;
}

export const BEGINNING: Level = { position: 0, sequence: 0 };

export interface Relayed {
  readonly faults: Faults;
  /** Of the whole stream. */
  readonly span: StreamSpan;
}

/** The level that is reached once all is relayed, where nothing was rolled back and nobody else publishes: event n is message n. */
export async function levelOf({ pool }: Site): Promise<Level> {
  const { rows } = await pool.query<{ position: string | null }>(
    `select pg_sequence_last_value('postcommit.outbox_position_seq') as position`,
  );
  const position = Number(rows[0]?.position ?? 0);
  return { position, sequence: position };
}

/**
 * Holds the stream against the outbox from such a moment on, now that everything was relayed again. Events of several
 * writers are in order if those of each key are: a position is drawn before its commit, so those of different transactions
 * may come in either order. Each writer has a key of its own here.
 */
export async function relayedSince({ natsUrl, stream, pool }: Site, since: Level): Promise<Relayed> {
  const { rows } = await pool.query<{ positions: string | null }>(
    `select range_agg(int8range(position, position, '[]'))::text as positions from postcommit.outbox where position > $1`,
    [since.position],
  );
  const seen = new Set<number>();
  const lastOf = new Map<string, number>();
  let [twice, disorder] = [0, 0];
  const span = await visitStream(
    natsUrl,
    { stream, afterSequence: since.sequence, headersOnly: true },
    ({ headers }) => {
      const position = Number(headers?.get('Postcommit-Position'));
      const key = headers?.get('Postcommit-Key') ?? '';
      if (seen.has(position)) twice++;
      seen.add(position);
      if (position < (lastOf.get(key) ?? 0)) disorder++;
      lastOf.set(key, position);
    },
  );
  return { faults: { lost: countMissing(rows[0]?.positions ?? '{}', seen), twice, disorder }, span };
}

/** Positions of the multirange that are not in the set. */
function countMissing(multirange: string, seen: ReadonlySet<number>): number {
  const ranges = parseMultirange(multirange);
  let missing = 0;
  for (let i = 0; i < ranges.length; i += 2) {
    const to = ranges[i + 1] as number;
    for (let position = ranges[i] as number; position <= to; position++) if (!seen.has(position)) missing++;
  }
  return missing;
}
