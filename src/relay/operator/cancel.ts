import { cancelIfLeading } from '../../requests/requests.ts';
import type { CancelDetail } from './details.ts';
import { answered, type Handling, type OperatorContext } from './handling.ts';

/** A replay ends where it is: what was planned of it is published. */
export async function cancel(
  { session, epoch }: OperatorContext,
  id: number,
  { request }: CancelDetail,
): Promise<Handling> {
  const cancelled = await cancelIfLeading(session, epoch, { id: request, by: id });
  switch (cancelled.kind) {
    case 'fenced':
      return { kind: 'fenced' };
    case 'cancelled':
      return answered({ cancelled: true, request, ...cancelled.result });
    case 'finished':
      return answered({ cancelled: false, request, reason: `request ${request} is finished` });
    case 'unknown':
      return answered({ error: `there is no replay with the number ${request}` });
  }
}
