import type { Session } from '../../src/postgres/session.ts';
import { keepLease } from '../../src/relay/leading/keeper.ts';

/** What the keeper of a lease waits for: time, the answer to a renewal (or its own patience), or nothing any more. */
export interface KeeperRequest {
  readonly kind: 'sleep' | 'renew' | 'lost';
  /** When the sleep, or the patience, is over. */
  readonly untilMs: number;
}

export interface KeeperResponse {
  readonly nowMs: number;
  /** Of a renewal: what the database said, or that it did not answer in time. */
  readonly renewed?: boolean | 'late';
}

export interface KeeperNode {
  readonly startedAtMs: number;
  readonly responses: readonly KeeperResponse[];
  readonly request: KeeperRequest;
}

export const TTL_MS = 10;

/** The product's keeper, from its beginning and under a clock of the model, as far as these answers lead it. */
export async function startKeeper(startedAtMs: number): Promise<KeeperNode> {
  return { startedAtMs, responses: [], request: await replay(startedAtMs, []) };
}

export async function answerKeeper(node: KeeperNode, response: KeeperResponse): Promise<KeeperNode> {
  const responses = [...node.responses, response];
  return { ...node, responses, request: await replay(node.startedAtMs, responses) };
}

const known = new Map<string, KeeperRequest>();

async function replay(startedAtMs: number, responses: readonly KeeperResponse[]): Promise<KeeperRequest> {
  const key = JSON.stringify([startedAtMs, responses]);
  const before = known.get(key);
  if (before !== undefined) return before;
  const real = { now: performance.now, set: globalThis.setTimeout, clear: globalThis.clearTimeout };
  const rig = createRig(startedAtMs, responses);
  performance.now = () => rig.nowMs;
  globalThis.setTimeout = rig.setTimeout as unknown as typeof setTimeout;
  globalThis.clearTimeout = (() => undefined) as typeof clearTimeout;
  try {
    const request = await rig.run();
    known.set(key, request);
    return request;
  } finally {
    performance.now = real.now;
    globalThis.setTimeout = real.set;
    globalThis.clearTimeout = real.clear;
  }
}

function createRig(startedAtMs: number, responses: readonly KeeperResponse[]) {
  let nowMs = startedAtMs;
  let used = 0;
  let stop: (request: KeeperRequest) => void = () => undefined;
  const stopped = new Promise<KeeperRequest>((resolve) => {
    stop = resolve;
  });
  let answerRenewal: ((rows: string[][]) => void) | undefined;

  const next = (kind: 'sleep' | 'renew', untilMs: number): KeeperResponse | undefined => {
    const response = responses[used++];
    if (response === undefined) stop({ kind, untilMs });
    else nowMs = response.nowMs;
    return response;
  };
  const session: Pick<Session, 'query' | 'pooled' | 'backendPid'> = {
    pooled: true, // Its greeting is not what is asked about here.
    backendPid: null,
    query: () =>
      new Promise((resolve) => {
        answerRenewal = resolve;
      }),
  };
  return {
    get nowMs() {
      return nowMs;
    },
    /** A timer beside a renewal is its patience; any other one is the sleep between two. */
    setTimeout(done: () => void, ms: number): object {
      const answer = answerRenewal;
      answerRenewal = undefined;
      const response = next(answer === undefined ? 'sleep' : 'renew', nowMs + ms);
      if (response === undefined) return {};
      if (answer === undefined || response.renewed === 'late') queueMicrotask(done);
      else answer(response.renewed ? [['1']] : []);
      return {};
    },
    run(): Promise<KeeperRequest> {
      const { signal } = new AbortController();
      const kept = keepLease(session as Session, { epoch: 1, ttlMs: TTL_MS, signal });
      void kept.then(() => stop({ kind: 'lost', untilMs: nowMs }));
      return stopped;
    },
  };
}
