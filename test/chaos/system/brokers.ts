import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { type NatsCluster, startNats, startNatsCluster } from '../../../src/embedded/index.ts';
import { sleep } from '../../../src/lifecycle/abort.ts';
import { startNatsWithStore } from '../../support/nats-with-store.ts';

/** NATS under chaos: one server, or a cluster of three. */
export interface Brokers extends AsyncDisposable {
  readonly url: string;
  readonly version: string;
  readonly replicas: 1 | 3;
  readonly connection: NatsConnection;
  readonly jsm: JetStreamManager;
  /** Asks until the servers answer. */
  patiently<T>(ask: (jsm: JetStreamManager) => Promise<T>, timeoutMs?: number): Promise<T>;
  /** Ends, freezes or thaws one server: that which leads the stream. */
  signalLeader(signal: NodeJS.Signals): Promise<void>;
  /** Two of three servers; the only one where there is one. */
  signalMajority(signal: NodeJS.Signals): void;
  stepDown(): Promise<void>;
  /** Starts what is down. */
  start(): Promise<void>;
  /** Ends the only server and keeps its store as it is now. */
  keepStore(): Promise<void>;
  /** Ends the only server and puts the kept store in place of its own. */
  restoreStore(): Promise<void>;
}

export async function startBrokers(replicas: 1 | 3, stream: string): Promise<Brokers> {
  const one = replicas === 1 ? await startNatsWithStore(startNats) : undefined;
  const cluster = replicas === 3 ? await startNatsCluster() : undefined;
  const nodes = cluster?.nodes ?? (one ? [one] : []);
  const url = cluster?.url ?? one?.url ?? '';
  const connection = await connect({
    servers: url.split(','),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
    pingInterval: 1_000,
    maxPingOut: 2,
  });
  const jsm = await jetstreamManager(connection, { timeout: 2_000 });
  const start = async () => {
    await Promise.all(nodes.map((node) => node.start()));
    await cluster?.untilHealthy({ timeoutMs: 20_000 }).catch(() => undefined);
  };
  return {
    url,
    version: nodes[0]?.version ?? '',
    replicas,
    connection,
    jsm,
    async patiently(ask, timeoutMs = 20_000) {
      for (const deadline = performance.now() + timeoutMs; ; await sleep(100)) {
        try {
          return await ask(jsm);
        } catch (error) {
          if (performance.now() > deadline) throw error;
        }
      }
    },
    async signalLeader(signal) {
      const leader = (await cluster?.leaderOf(stream)) ?? nodes[0];
      leader?.kill(signal);
    },
    signalMajority(signal) {
      for (const node of nodes.slice(0, Math.ceil(nodes.length / 2))) node.kill(signal);
    },
    stepDown: async () => stepDown(cluster, stream),
    start,
    keepStore: async () => one?.keepStore(),
    restoreStore: async () => one?.restoreStore(),
    async [Symbol.asyncDispose]() {
      await connection.close();
      await (cluster ?? one)?.[Symbol.asyncDispose]();
    },
  };
}

async function stepDown(cluster: NatsCluster | undefined, stream: string): Promise<void> {
  await cluster?.stepDown(stream).catch(() => undefined); // Nobody leads at this moment: just as well.
}
