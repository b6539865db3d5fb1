import { headers as createHeaders } from '@nats-io/transport-node';
import type { Scene } from './scene.ts';

/** Columns by which effects of an `ordered-child` are told from each other. */
export async function addVersions({ pool }: Scene): Promise<void> {
  await pool.query('ALTER TABLE effects ADD key text, ADD version int, ADD instance int');
}

/** Events `e<first>` and so many more, in turns of so many keys, whose versions count up from 1. */
export async function publishVersions(
  { jsm, stream }: Scene,
  { first, count, keys }: { first: number; count: number; keys: number },
): Promise<void> {
  const js = jsm.jetstream();
  for (let begin = first; begin < first + count; begin += 500) {
    await Promise.all(
      Array.from({ length: Math.min(500, first + count - begin) }, (_, i) => {
        const n = begin + i;
        const headers = createHeaders();
        headers.set('Postcommit-Event-Id', `e${n}`);
        headers.set('Postcommit-Key', `key-${n % keys}`);
        headers.set('Version', String(Math.ceil(n / keys)));
        return js.publish(`${stream}.event`, 'x', { headers });
      }),
    );
  }
}

/** Effects that did not come right behind the version before theirs. */
export async function disorderedVersions({ pool }: Scene): Promise<unknown[]> {
  const { rows } = await pool.query(
    `select key, version, place from (
       select *, lag(version, 1, 0) over (partition by key order by place) as before from effects) e
      where version <> before + 1`,
  );
  return rows;
}
