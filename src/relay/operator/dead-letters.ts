import { discardIfLeading, positionsToRetry } from '../../dead-letters/selection.ts';
import { eventsAt, portionsOf } from '../lane/events-at.ts';
import type { Repeated } from '../lane/lane.ts';
import type { SelectionDetail } from './details.ts';
import { answered, type Handling, type OperatorContext } from './handling.ts';
import { countOf, route } from './route.ts';

/** Letters on their way again, and those that no lane takes or whose content is gone: they stay. */
export type RetryEnd =
  | {
      readonly kind: 'retried';
      readonly retried: number;
      readonly misrouted: number;
      readonly gone: number;
    }
  | { readonly kind: 'later' | 'abandoned' };

/** Dead letters are planned again, each in the lane that takes its subject now; between portions new events have their turn. */
export async function retry(context: OperatorContext, chosen: SelectionDetail): Promise<RetryEnd> {
  const { session } = context;
  let [retried, misrouted, gone] = [0, 0, 0];
  // Chosen once: what waits behind a head would be chosen no more as soon as the head is on its way.
  for (const positions of portionsOf(await positionsToRetry(session, chosen))) {
    const events = await eventsAt(session, positions);
    gone += positions.length - events.size;
    const routed = route(context, [...events.values()]);
    misrouted += events.size - countOf(routed);
    const repeated = await repeatAll(context, routed);
    if (repeated !== 'planned') return { kind: repeated };
    retried += countOf(routed);
  }
  return { kind: 'retried', retried, misrouted, gone };
}

export async function answerRetry(context: OperatorContext, chosen: SelectionDetail): Promise<Handling> {
  const { kind, ...counts } = await retry(context, chosen);
  return kind === 'retried' ? answered(counts) : { kind };
}

async function repeatAll({ lanes }: OperatorContext, routed: ReturnType<typeof route>): Promise<Repeated> {
  for (const [lane, events] of routed) {
    const repeated = await lane.repeat({ kind: 'retry', events });
    if (repeated !== 'planned') return repeated;
    const positions = events.map(({ position }) => position);
    for (const former of lanes) if (former !== lane) former.discarded(positions);
  }
  return 'planned';
}

/** Where keys hold, what waited behind a discarded head goes on. */
export async function discard(context: OperatorContext, chosen: SelectionDetail): Promise<Handling> {
  const { session, epoch, lanes } = context;
  const discarded = await discardIfLeading(session, epoch, chosen);
  if (discarded === undefined) return { kind: 'fenced' };
  for (const lane of lanes)
    lane.discarded(discarded.filter(({ stream }) => stream === lane.stream).map(({ position }) => position));
  const keys = [...new Set(discarded.flatMap(({ key }) => (key === null ? [] : [key])))];
  if (keys.length === 0) return answered({ discarded: discarded.length, released: 0 });
  const released = await retry(context, { keys, outcome: 'held' });
  if (released.kind === 'abandoned') return released;
  // The discarding stands; what waited goes on as soon as it can (`stranded`).
  const count = released.kind === 'retried' ? released.retried : 0;
  return answered({ discarded: discarded.length, released: count });
}
