/** Why a lane is not publishing, in words for a person: what happened and what ends it. */
export interface Pause {
  /** `unavailable`, `saturated`, `refused` …: the label of the metric. */
  readonly outcome: string;
  readonly reason: string;
}

/** What the relay knows about the stream. Only `flowing` publishes. */
export type LaneState =
  /** Plan and stream agree; what is in flight is being confirmed. */
  | { readonly kind: 'flowing' }
  /** Something is unknown (start, reconnect, a bad or missing answer): the stream is read back next. */
  | { readonly kind: 'doubt'; readonly why: string }
  /** Publishing cannot go on; after a delay the lane is in doubt again and tries. */
  | { readonly kind: 'paused'; readonly pause: Pause };
