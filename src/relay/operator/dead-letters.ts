import { discardIfLeading, selectToRetry } from '../../dead-letters/selection.ts';
import { eventsAt } from '../events-at.ts';
import type { Repeated } from '../lane.ts';
import type { SelectionDetail } from './details.ts';
import { answered, type Handling, type OperatorContext } from './handling.ts';
import { countOf, route } from './route.ts';

/** As many are planned at a time; between two such portions new events have their turn. */
const AT_ONCE = 500;

/** Dead letters are planned again, each in the lane that takes its subject now. */
export async function retry(context: OperatorContext, chosen: SelectionDetail): Promise<Handling> {
  const { session } = context;
  let [retried, misrouted, gone, above] = [0, 0, 0, 0];
  for (;;) {
    const letters = await selectToRetry(session, { ...chosen, above }, AT_ONCE);
    if (letters.length === 0) return answered({ retried, misrouted, gone });
    above = letters.at(-1)?.position ?? above;
    const events = await eventsAt(
      session,
      letters.map(({ position }) => position),
    );
    gone += letters.length - events.size;
    const routed = route(context, [...events.values()]);
    misrouted += events.size - countOf(routed);
    const repeated = await repeatAll(context, routed);
    if (repeated !== 'planned') return { kind: repeated };
    retried += countOf(routed);
  }
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
  if (released.kind === 'answered')
    return answered({ discarded: discarded.length, released: released.answer.retried });
  // The discarding stands; what waited goes on as soon as it can.
  context.release();
  return released.kind === 'later' ? answered({ discarded: discarded.length, released: 0 }) : released;
}
