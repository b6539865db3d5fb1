/** Where a durable begins when it is created; one that exists goes on from where it is. */
export type DeliverPolicy =
  | 'all'
  | 'new'
  | 'last'
  | 'last-per-subject'
  | { readonly fromSequence: number }
  | { readonly fromTime: Date };

/** As the server takes it. */
export function rawStart(start: DeliverPolicy): object {
  if (typeof start === 'string') return { deliver_policy: start.replaceAll('-', '_') };
  if ('fromTime' in start)
    return { deliver_policy: 'by_start_time', opt_start_time: start.fromTime.toISOString() };
  return { deliver_policy: 'by_start_sequence', opt_start_seq: start.fromSequence };
}
