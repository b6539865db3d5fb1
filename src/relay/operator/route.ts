import type { StoredEvent } from '../../event.ts';
import type { Lane } from '../lane/lane.ts';
import { underPrefix } from '../lane/planned-message.ts';
import type { OperatorContext } from './handling.ts';

/** By lane, in position order. What no lane takes is left out. `prefix`: of the subjects that they are to have. */
export function route(
  { lanes, router }: Pick<OperatorContext, 'lanes' | 'router'>,
  events: readonly StoredEvent[],
  prefix: string | null = null,
): ReadonlyMap<Lane, StoredEvent[]> {
  const routed = new Map<Lane, StoredEvent[]>();
  for (const event of [...events].sort((a, b) => a.position - b.position)) {
    const lane = lanes[router(underPrefix(event, prefix).subject)];
    if (lane === undefined) continue;
    const share = routed.get(lane);
    if (share === undefined) routed.set(lane, [event]);
    else share.push(event);
  }
  return routed;
}

export function countOf(routed: ReadonlyMap<Lane, readonly StoredEvent[]>): number {
  return [...routed.values()].reduce((total, share) => total + share.length, 0);
}
