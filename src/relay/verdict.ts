import type { Batch } from '../batch-log/batch.ts';
import type { ReadBack } from '../jetstream/index.ts';
import { positionsOf } from '../postgres/position-ranges.ts';

/** Which event belongs at which sequence, by the log. */
export interface Placement {
  /** Sequence to position: the one place of each event that is not known to be stored elsewhere. */
  readonly slots: ReadonlyMap<number, number>;
  /** Position to sequence, also of events that were found elsewhere. */
  readonly places: ReadonlyMap<number, number>;
}

/** Later rows win: `again` voids the older slot of its events, `found` says where one was stored instead. */
export function placementOf(batches: readonly Batch[]): Placement {
  const places = new Map<number, number>();
  const found = new Set<number>();
  for (const { kind, firstSequence, positions } of batches) {
    if (kind === 'marker' || kind === 'replay')
      throw new Error(`the batch log has '${kind}' rows of a newer version`);
    let sequence = firstSequence;
    for (const position of positionsOf(positions)) {
      places.set(position, sequence++);
      if (kind === 'found') found.add(position);
      else found.delete(position);
    }
  }
  const slots = new Map<number, number>();
  for (const [position, sequence] of places) if (!found.has(position)) slots.set(sequence, position);
  return { slots, places };
}

/** What reading the stream back says about the plan. */
export interface Verdict {
  /** Sequences that hold the planned event, or held it: what is gone already counts as ours. */
  readonly ours: readonly number[];
  /** Events stored elsewhere than planned. */
  readonly found: readonly { readonly position: number; readonly sequence: number }[];
  /** Sequences taken by other writers. */
  readonly foreign: readonly number[];
  /** Positions whose slot holds something else and that were found nowhere. */
  readonly displaced: readonly number[];
}

export function judge(placement: Placement, messages: readonly ReadBack[], source: string): Verdict {
  const ours: number[] = [];
  const found: { position: number; sequence: number }[] = [];
  const foreign: number[] = [];
  const lost: number[] = [];
  for (const message of messages) {
    const planned = placement.slots.get(message.sequence);
    const what = identify(placement, message, source);
    if (what === 'planned') ours.push(message.sequence);
    else if (planned !== undefined) lost.push(planned);
    if (what === 'foreign') foreign.push(message.sequence);
    else if (typeof what === 'number') found.push({ position: what, sequence: message.sequence });
  }
  const elsewhere = new Set(found.map(({ position }) => position));
  return {
    ours,
    found,
    foreign,
    displaced: lost.filter((position) => !elsewhere.has(position)).sort((a, b) => a - b),
  };
}

/** The planned event, nobody's business, another writer's message, or the position of an event out of its place. */
function identify(
  placement: Placement,
  message: ReadBack,
  source: string,
): 'planned' | 'known' | 'foreign' | number {
  const planned = placement.slots.get(message.sequence);
  if (message.kind === 'gone') return planned === undefined ? 'known' : 'planned';
  if (message.source !== source || message.position === null) return 'foreign';
  if (message.position === planned) return 'planned';
  const place = placement.places.get(message.position);
  if (place === undefined) return 'foreign';
  return place === message.sequence ? 'known' : message.position;
}
