import type { AdoptDetail } from './details.ts';
import { answered, type Handling, type OperatorContext } from './handling.ts';

const PATIENCE_MS = 20_000;

/** A lane that stopped at another stream than the one it planned for goes on with it. */
export async function adopt(
  context: OperatorContext,
  { stream, mode }: AdoptDetail,
  signal: AbortSignal,
): Promise<Handling> {
  // Also one that is no lane any more: what was planned for it may have nowhere else to go.
  const lanes = [...context.lanes, ...context.closing];
  const lane = lanes.find((one) => one.stream === stream);
  if (lane === undefined)
    return answered({
      error: `no lane has the stream '${stream}': ${lanes.map((one) => one.stream).join(', ')}`,
    });
  if (lane.state.kind === 'flowing')
    return answered({
      adopted: false,
      reason: `stream '${stream}' is the one planned for, and the lane publishes`,
    });
  const outcome = await lane.adopt(mode, AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]));
  if (signal.aborted) return { kind: 'abandoned' };
  if (outcome.kind === 'refused') return answered({ adopted: false, reason: outcome.reason });
  return answered({ adopted: true, incarnation: outcome.incarnation, republished: outcome.republished });
}
