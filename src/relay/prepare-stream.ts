import {
  type BrokerLink,
  createStream,
  lookUpStream,
  type StreamState,
  unfitness,
} from '../jetstream/index.ts';
import type { Pause } from './lane-state.ts';
import type { LaneOptions } from './options.ts';

export type PreparedStream =
  | { readonly kind: 'fit'; readonly state: StreamState }
  /** `outage`: it will pass by itself, where another fault needs a person. */
  | { readonly kind: 'unfit'; readonly pause: Pause; readonly outage: boolean };

/** Finds the lane's stream, creates it if it is missing and may be created, and says what makes it unfit. */
export async function prepareStream(
  link: BrokerLink,
  lane: LaneOptions,
  provision: boolean,
): Promise<PreparedStream> {
  const { stream, subjects } = lane;
  const found = await lookUpStream(link, stream);
  const lookup =
    found.kind === 'missing' && provision ? await createStream(link, { name: stream, subjects }) : found;
  if (lookup.kind === 'unavailable') return unfit('unavailable', lookup.reason, true);
  if (lookup.kind === 'missing') {
    return unfit(
      'unavailable',
      `stream '${stream}' does not exist, and creating it is switched off (POSTCOMMIT_PROVISION)`,
    );
  }
  const faults = unfitness(lookup.state, subjects);
  return faults.length === 0 ? { kind: 'fit', state: lookup.state } : unfit('unavailable', faults.join('; '));
}

function unfit(outcome: string, reason: string, outage = false): PreparedStream {
  return { kind: 'unfit', pause: { outcome, reason }, outage };
}
