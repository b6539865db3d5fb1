import { randomBytes } from 'node:crypto';
import type { Site } from '../servers/site.ts';

/** Events that wait for a relay, numbered by their positions from 1 on. */
export interface Backlog {
  readonly count: number;
  /** Of each payload. */
  readonly bytes: number;
  /** They take turns in having these subjects. Default: all have `<stream>.bench`. */
  readonly subjects?: readonly string[];
  /** They take turns in having so many keys. Default: they have none. */
  readonly keys?: number;
}

const NOISE_BYTES = 1_048_576;
/** What repeats would be compressed, and cost a relay nothing to read. */
const NOISE = randomBytes(NOISE_BYTES);
/** Prime: neighbours begin at other bytes. */
const STRIDE = 7_919;

/** In one statement, so that all of it can be seen at once. */
export async function insertBacklog(
  { pool, stream }: Pick<Site, 'pool' | 'stream'>,
  { count, bytes, subjects = [`${stream}.bench`], keys = 0 }: Backlog,
): Promise<void> {
  const noise = NOISE.subarray(0, Math.min(NOISE_BYTES, bytes * (count + 1)));
  await pool.query(
    `insert into postcommit.outbox (subject, key, payload)
     select ($1::text[])[1 + i % cardinality($1)], case when $2 > 0 then 'key-' || i % $2 end,
            substr($3::bytea, (1 + i * ${STRIDE} % (length($3) - $4))::int, $4)
       from generate_series(0, $5::int8 - 1) i`,
    [subjects, keys, noise, bytes, count],
  );
}
