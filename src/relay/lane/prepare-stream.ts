import {
  type BrokerLink,
  createStream,
  lookUpStream,
  type StreamState,
  unfitness,
} from '../../jetstream/index.ts';
import type { LaneOptions } from '../options.ts';
import type { Pause } from './lane-state.ts';

export type PreparedStream =
  | { readonly kind: 'fit'; readonly state: StreamState }
  /** `outage`: it will pass by itself, where another fault needs a person. `missing`: there is no such stream. */
  | { readonly kind: 'unfit'; readonly pause: Pause; readonly outage: boolean; readonly missing: boolean };

export interface PrepareOptions {
  /** A missing stream may be created. */
  readonly provision: boolean;
  /** The batch log speaks of it: if it is missing it was deleted, and a new one would hide that. */
  readonly planned: boolean;
  /** Gives up waiting for the server. */
  readonly signal?: AbortSignal;
}

/** Finds the lane's stream, creates it if it never was and may be created, and says what makes it unfit. */
export async function prepareStream(
  link: BrokerLink,
  { stream, subjects, ordering = 'stream' }: LaneOptions,
  { provision, planned, signal }: PrepareOptions,
): Promise<PreparedStream> {
  const found = await lookUpStream(link, stream, { signal });
  const create = found.kind === 'missing' && provision && !planned;
  const lookup = create ? await createStream(link, { name: stream, subjects }) : found;
  if (lookup.kind === 'refused') {
    return unfit(
      'unavailable',
      `${lookup.reason}. Choose other subjects (POSTCOMMIT_SUBJECTS), or name the stream that takes these (POSTCOMMIT_STREAM)`,
    );
  }
  if (lookup.kind === 'unavailable') return unfit('unavailable', lookup.reason, true);
  if (lookup.kind === 'missing') {
    const absent = planned
      ? unfit(
          'unavailable',
          `stream '${stream}' is gone, and the batch log holds plans for it: it was deleted. Restore it, or have it made anew and go on: postcommit adopt --stream ${stream}`,
          true,
        )
      : unfit(
          'unavailable',
          `stream '${stream}' does not exist, and creating it is switched off (POSTCOMMIT_PROVISION)`,
        );
    return { ...absent, missing: true };
  }
  const faults = unfitness(lookup.state, subjects, { ordering });
  return faults.length === 0 ? { kind: 'fit', state: lookup.state } : unfit('unavailable', faults.join('; '));
}

function unfit(outcome: string, reason: string, outage = false) {
  return { kind: 'unfit', pause: { outcome, reason }, outage, missing: false } as const;
}
