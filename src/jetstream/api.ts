import { NoRespondersError, PermissionViolationError, TimeoutError } from '@nats-io/transport-node';
import { messageOf } from '../errors.ts';
import type { BrokerLink } from './connection.ts';

/** What the JetStream API answered. `unavailable` says in words for a person why there was no answer. */
export type ApiAnswer =
  | {
      readonly kind: 'answer';
      readonly body: Readonly<Record<string, unknown>>;
      readonly bytes: number;
    }
  | { readonly kind: 'error'; readonly errCode: number; readonly code: number; readonly reason: string }
  | { readonly kind: 'unavailable'; readonly reason: string };

export interface ApiRequestOptions {
  readonly body?: unknown;
  /** Default 5,000. */
  readonly timeoutMs?: number;
  /** Gives up waiting: the answer is `unavailable` then. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * One request to `$JS.API`. The raw API instead of the client's manager: it keeps the server's own text
 * (the stream's creation time, to the nanosecond) and lets "no stream", "no leader" and "no JetStream" be told apart.
 */
export async function requestApi(
  link: BrokerLink,
  endpoint: string,
  { body, timeoutMs = 5_000, signal }: ApiRequestOptions = {},
): Promise<ApiAnswer> {
  if (!link.connected) return { kind: 'unavailable', reason: 'not connected to NATS' };
  if (signal?.aborted) return CANCELLED;
  let off = () => {};
  // A request that was under way when the connection went down would wait for its timeout.
  const lost = new Promise<undefined>((resolve) => {
    const cancel = () => resolve(undefined);
    const offDisconnect = link.onDisconnect(cancel);
    signal?.addEventListener('abort', cancel, { once: true });
    off = () => {
      offDisconnect();
      signal?.removeEventListener('abort', cancel);
    };
  });
  try {
    const payload = body === undefined ? '' : JSON.stringify(body);
    const request = link.connection.request(`$JS.API.${endpoint}`, payload, { timeout: timeoutMs });
    request.catch(() => undefined);
    const message = await Promise.race([request, lost]);
    if (message === undefined && signal?.aborted) return CANCELLED;
    if (message === undefined) return { kind: 'unavailable', reason: 'the connection to NATS was lost' };
    return readAnswer(message.data);
  } catch (thrown) {
    return { kind: 'unavailable', reason: describe(thrown, timeoutMs) };
  } finally {
    off();
  }
}

const CANCELLED: ApiAnswer = { kind: 'unavailable', reason: 'it was cancelled' };

function readAnswer(data: Uint8Array): ApiAnswer {
  let body: unknown;
  try {
    body = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString());
  } catch {
    return NO_ANSWER;
  }
  if (!isObject(body)) return NO_ANSWER;
  const { error } = body;
  if (error === undefined) return { kind: 'answer', body, bytes: data.length };
  if (!isObject(error)) return NO_ANSWER;
  const errCode = Number(error.err_code ?? 0);
  return {
    kind: 'error',
    errCode,
    code: Number(error.code ?? 0),
    reason: `${String(error.description ?? 'no description')} (${String(error.code)}/${errCode})`,
  };
}

const NO_ANSWER: ApiAnswer = {
  kind: 'unavailable',
  reason: 'JetStream answered with something that is no JSON object (does another program reply here?)',
};

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function describe(thrown: unknown, timeoutMs: number): string {
  const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown;
  if (cause instanceof NoRespondersError)
    return 'JetStream does not answer (503): it is off on this server or for this account, or it is starting';
  if (cause instanceof TimeoutError)
    return `JetStream did not answer in ${timeoutMs} ms (is a leader being elected?)`;
  if (cause instanceof PermissionViolationError) return `NATS does not permit it: ${cause.message}`;
  return messageOf(cause);
}
