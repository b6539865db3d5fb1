import type { Session, TextRow } from '../../src/postgres/session.ts';
import { createPacer } from '../../src/relay/reading/pacer.ts';
import type { Metrics } from '../../src/telemetry/metrics.ts';

/** What the pacer waits for, and what it wants to know. */
export interface Request {
  readonly kind: 'look' | 'park' | 'unpark' | 'list' | 'wait';
  readonly ms: number;
  readonly parked: boolean;
  /** What it counted on the way here. */
  readonly counted: readonly string[];
}

export interface Response {
  /** The clock of the pacer's process when it goes on. */
  readonly nowMs: number;
  readonly events?: number;
  readonly row?: TextRow;
  readonly holders?: readonly string[];
  readonly woken?: boolean;
  /** Whether it may park, from here on. */
  readonly mayPark: boolean;
}

/** A pacer that was given these answers. */
export interface PacerNode {
  readonly responses: readonly Response[];
  readonly request: Request;
}

/**
 * The product's pacer cannot be copied in the midst of what it does, but it is deterministic: what it does next is a
 * function of the answers so far. So each node is run from its beginning, under a clock of its own.
 */
export async function startPacer(): Promise<PacerNode> {
  return { responses: [], request: await replay([]) };
}

const known = new Map<string, PacerNode>();

export async function answerPacer(node: PacerNode, response: Response): Promise<PacerNode> {
  const responses = [...node.responses, response];
  const key = JSON.stringify(responses);
  const before = known.get(key);
  if (before !== undefined) return before;
  const next = { responses, request: await replay(responses) };
  known.set(key, next);
  return next;
}

async function replay(responses: readonly Response[]): Promise<Request> {
  const realNow = performance.now;
  const rig = createRig(responses);
  performance.now = () => rig.nowMs;
  try {
    void rig.run();
    return await rig.stopped;
  } finally {
    performance.now = realNow;
  }
}

function createRig(responses: readonly Response[]) {
  let nowMs = 0;
  let mayPark = true;
  let used = 0;
  let counted: string[] = [];
  let stop: (request: Request) => void = () => undefined;
  const stopped = new Promise<Request>((resolve) => {
    stop = resolve;
  });
  const never = new Promise<never>(() => undefined);
  /** Answers the next request from the history, or ends the run there. */
  async function ask(kind: Request['kind'], ms = 0): Promise<Response> {
    const response = responses[used++];
    if (response === undefined) {
      stop({ kind, ms, parked: pacer.parked, counted });
      return never;
    }
    counted = [];
    nowMs = response.nowMs;
    mayPark = response.mayPark;
    return response;
  }
  const session: Pick<Session, 'query'> = {
    async query({ name }) {
      const { row } = await ask(name === 'postcommit_park' ? 'park' : 'unpark');
      return [row ?? ['0']];
    },
  };
  const metrics = {
    wakeups: { inc: ({ source }: { source: string }) => counted.push(source) },
    sweepFoundEvents: { inc: (events: number) => counted.push(`sweep found ${events}`) },
  };
  const pacer = createPacer({
    session: session as Session,
    epoch: 1,
    wakeUp: { wake: () => undefined, wait: async (ms) => (await ask('wait', ms)).woken ?? false },
    metrics: metrics as unknown as Metrics,
    async list() {
      const { holders = [] } = await ask('list');
      return new Map(holders.map((id) => [id, { id, xid: null }]));
    },
    mayPark: () => mayPark,
  });
  const { signal } = new AbortController();
  return {
    stopped,
    get nowMs() {
      return nowMs;
    },
    /** As `loop.ts` drives it. */
    async run(): Promise<void> {
      for (;;) {
        const { events = 0 } = await ask('look');
        await pacer.next({ events, cut: false, calm: true }, signal);
      }
    },
  };
}
