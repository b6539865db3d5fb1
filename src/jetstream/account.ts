import { isObject, requestApi } from './api.ts';
import type { BrokerLink } from './connection.ts';

/** What an account uses of what it may; a limit of -1 is none of the account's own. */
export interface AccountUsage {
  readonly storageBytes: number;
  readonly maxStorageBytes: number;
  readonly streams: number;
  readonly maxStreams: number;
}

/** `disabled`: there is no JetStream for this account. */
export type AccountLookup =
  | { readonly kind: 'found'; readonly usage: AccountUsage }
  | { readonly kind: 'disabled'; readonly reason: string }
  | { readonly kind: 'unavailable'; readonly reason: string };

const NOT_ENABLED = [10076, 10039];

/** Asks what the account uses. A user that may only publish is not permitted to: `unavailable`. */
export async function lookUpAccount(link: BrokerLink): Promise<AccountLookup> {
  const answer = await requestApi(link, 'INFO');
  if (answer.kind === 'error')
    return {
      kind: NOT_ENABLED.includes(answer.errCode) ? 'disabled' : 'unavailable',
      reason: answer.reason,
    };
  if (answer.kind === 'unavailable') return answer;
  const { storage, streams, limits } = answer.body;
  const of = isObject(limits) ? limits : {};
  return {
    kind: 'found',
    usage: {
      storageBytes: numberOr(storage, 0),
      maxStorageBytes: numberOr(of.max_storage, -1),
      streams: numberOr(streams, 0),
      maxStreams: numberOr(of.max_streams, -1),
    },
  };
}

function numberOr(value: unknown, otherwise: number): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : otherwise;
}
