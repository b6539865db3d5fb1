import { type StreamState, type Unfitness, unfitnessesOf } from '../../jetstream/index.ts';
import { problem, type Remark } from '../finding.ts';
import type { LaneSettings } from '../surroundings.ts';

const CAUSES: Readonly<Record<Unfitness['kind'], string>> = {
  mirror: 'A mirror holds what another stream holds, and nothing else.',
  sealed: 'Somebody sealed it: nothing can be added or deleted.',
  'no-ack': 'Whether a message is stored is never said: the relay would wait for answers that do not come.',
  sources: 'In stream ordering the relay fixes the sequence of each event beforehand.',
  subjects: 'What is published to a subject that no stream captures is stored nowhere: the lane pauses.',
};

/** What keeps the relay from using this stream, of these kinds, as the relay itself sees it. */
export function unfitFor(
  state: StreamState,
  { subjects, ordering }: LaneSettings,
  kinds: readonly Unfitness['kind'][],
): Remark[] {
  return unfitnessesOf(state, subjects, { ordering })
    .filter(({ kind }) => kinds.includes(kind))
    .map(({ kind, fault, fix }) => problem({ found: fault, cause: CAUSES[kind], fix }));
}
