import type { Batch } from '../../batch-log/batch.ts';
import { batchesFrom, logSpan } from '../../batch-log/recover.ts';
import { readBack, type StreamState } from '../../jetstream/index.ts';
import { eventIdsAt } from './events-at.ts';
import type { LaneContext } from './lane.ts';
import type { Pause } from './lane-state.ts';
import { placementOf } from './placement.ts';

/** So many of the newest messages in planned slots are looked at. */
const EVIDENCE = 16;

/**
 * The name under which this database's events lie in the stream, if it is not the present one: the default name changes
 * when a database is renamed, upgraded by pg_upgrade, or restored from a dump, and a copy has the events of its original.
 * Taken for another writer's they would all be planned again. Undefined: nothing shows another name.
 */
export async function otherName(
  { session, link, source }: Pick<LaneContext, 'session' | 'link' | 'source'>,
  {
    stream,
    last,
    signal,
  }: { readonly stream: StreamState; readonly last: Batch; readonly signal: AbortSignal },
): Promise<string | undefined> {
  // Without slots what is settled is never looked for again.
  if (last.ordering !== 'stream') return undefined;
  const { name, firstSequence, lastSequence } = stream;
  const { since, end } = await logSpan(session, name, last.incarnation);
  const to = Math.min(end, lastSequence);
  const from = Math.max(firstSequence, to - EVIDENCE + 1, 1);
  const batches = await batchesFrom(session, {
    stream: name,
    incarnation: last.incarnation,
    sequence: from,
    since,
  });
  const { slots } = placementOf(batches);
  const suspects = (await readBack(link, { stream: name, from, to, signal })).flatMap((message) => {
    if (message.kind === 'gone' || message.source === source) return [];
    const { source: theirs, position, eventId } = message;
    const planned = slots.get(message.sequence)?.position;
    return theirs === null || position === null || position !== planned
      ? []
      : [{ theirs, position, eventId }];
  });
  if (suspects.length === 0) return undefined;
  const ids = await eventIdsAt(
    session,
    suspects.map(({ position }) => position),
  );
  return suspects.find(({ position, eventId }) => ids.get(position) === eventId)?.theirs;
}

/** Why a lane stops there: a database that was moved goes on under its old name, a copy must not go on at all. */
export function calledOtherwise(stream: string, { theirs, ours }: { theirs: string; ours: string }): Pause {
  return {
    outcome: 'refused',
    reason: `stream '${stream}' holds this database's events under another name: '${theirs}', and it is called '${ours}' now. Was it renamed, upgraded or restored from a dump, set POSTCOMMIT_SOURCE=${theirs} for good. Is it a copy, give it streams of its own`,
  };
}
