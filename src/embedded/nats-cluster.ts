import { randomUUID } from 'node:crypto';
import { connect } from '@nats-io/transport-node';
import { PostcommitError } from '../errors.ts';
import { sleep } from '../lifecycle/abort.ts';
import { freePort } from './free-port.ts';
import { ensureNatsServer } from './install-nats-server.ts';
import { clusterView, type StreamView, streamView } from './jetstream-monitor.ts';
import { type NatsNode, startNatsNode } from './nats-node.ts';
import { healthFault } from './nats-server.ts';
import { isPortTaken } from './server-process.ts';
import { refuseOnWindows } from './service.ts';

const START_ATTEMPTS = 3;
/** It takes less than a second, if it comes to it at all. */
const FORMING_TIMEOUT_MS = 10_000;
const POLL_MS = 25;
const NO_SUITABLE_PEERS = 10005;

/** Several nats-servers with JetStream that form one cluster. */
export interface NatsCluster extends AsyncDisposable {
  /** Of all nodes, separated by commas, as NATS_URL takes it. A client told of one node learns the others from it. */
  readonly url: string;
  readonly nodes: readonly NatsNode[];
  readonly version: string;
  /** Waits until JetStream has a leader and every running node is healthy. Throws `service-failed` if it is not to be. */
  untilHealthy(options?: WaitOptions): Promise<void>;
  /** The node that leads this stream; undefined while none does. */
  leaderOf(stream: string): Promise<NatsNode | undefined>;
  /**
   * Waits until the stream has a leader and its followers that run are current, and returns the leader. Throws
   * `service-failed` if it is not to be.
   */
  untilStreamReady(stream: string, options?: WaitOptions): Promise<NatsNode>;
  /** Has the stream's leader hand over to a follower; resolves when the server has answered. */
  stepDown(stream: string): Promise<void>;
  /** Stops all nodes and removes their data. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface WaitOptions {
  /** Default 30,000. */
  readonly timeoutMs?: number;
}

export interface NatsClusterOptions {
  /** How many servers. Default 3. */
  readonly size?: number;
  /** More lines for each server's configuration file. */
  readonly config?: string | undefined;
  /** Path of the nats-server. Default: see `ensureNatsServer`. */
  readonly binary?: string | undefined;
}

/** Starts a private cluster on free loopback ports, with temporary data, and resolves once it is healthy. */
export async function startNatsCluster(options: NatsClusterOptions = {}): Promise<NatsCluster> {
  refuseOnWindows();
  const { path: command } = await ensureNatsServer({ binary: options.binary });
  for (let attempt = 1; ; attempt++) {
    const result = await attemptStart(command, options);
    if (!(result instanceof Error)) return result;
    if (attempt === START_ATTEMPTS) throw result;
  }
}

/**
 * An error that is returned is worth another attempt: all nodes need all ports beforehand, and one may be taken by now;
 * and servers that start at once may, rarely, elect a leader that never learns of the last of them.
 */
async function attemptStart(command: string, options: NatsClusterOptions): Promise<NatsCluster | Error> {
  const outcomes = await Promise.allSettled(await launchAll(command, options));
  const nodes = outcomes.filter((outcome) => outcome.status === 'fulfilled').map(({ value }) => value);
  const cluster = clusterOf(nodes);
  const failure = outcomes.find((outcome) => outcome.status === 'rejected')?.reason;
  const error = failure ?? (await untilFormed(cluster).catch(asError));
  if (error === undefined) return cluster;
  await cluster[Symbol.asyncDispose]();
  if (failure !== undefined && !isPortTaken(failure)) throw failure;
  return error;
}

async function untilFormed(cluster: NatsCluster): Promise<void> {
  await cluster.untilHealthy({ timeoutMs: FORMING_TIMEOUT_MS });
  // Healthy servers may not know yet what the others have room for, and no monitoring tells.
  await until('no stream can be placed on all nodes', { timeoutMs: FORMING_TIMEOUT_MS }, () =>
    tryPlacing(cluster),
  );
}

/** Places a stream on all nodes and removes it; true as well where a configured account lets nobody in. */
async function tryPlacing({ url, nodes }: NatsCluster): Promise<true | string> {
  const name = 'postcommit_placement';
  const stream = { name, subjects: [name], storage: 'memory', num_replicas: nodes.length };
  try {
    const connection = await connect({ servers: url.split(','), reconnect: false });
    try {
      const create = await connection.request(`$JS.API.STREAM.CREATE.${name}`, JSON.stringify(stream));
      const { error } = create.json<{ error?: { err_code: number; description: string } }>();
      if (error?.err_code === NO_SUITABLE_PEERS) return error.description;
      await connection.request(`$JS.API.STREAM.DELETE.${name}`);
    } finally {
      await connection.close();
    }
  } catch {
    // Nobody is let in, or nobody answers in time: the caller will see.
  }
  return true;
}

async function launchAll(
  command: string,
  { size = 3, config }: NatsClusterOptions,
): Promise<Promise<NatsNode>[]> {
  const cluster = `postcommit-${randomUUID()}`;
  const ports = await freePorts(size * 3);
  const routePorts = ports.slice(0, size);
  return routePorts.map((routePort, i) =>
    startNatsNode({
      name: `${cluster}-${i + 1}`,
      cluster,
      port: ports[size + i] as number,
      monitorPort: ports[2 * size + i] as number,
      routePort,
      routePorts,
      config,
      command,
    }),
  );
}

async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}

function clusterOf(nodes: readonly NatsNode[]): NatsCluster {
  const url = nodes.map((node) => node.url).join(',');
  return {
    url,
    nodes,
    get version() {
      return nodes[0]?.version ?? '';
    },
    async untilHealthy(options = {}) {
      await until('the cluster is not healthy', options, async () => {
        const faults = await Promise.all(nodes.map((node) => faultOf(node, nodes.length)));
        return faults.every((fault) => fault === undefined) || faults.filter(Boolean).join('; ');
      });
    },
    leaderOf: async (stream) => (await leadingView(nodes, stream))?.leader,
    async untilStreamReady(stream, options = {}) {
      let leader: NatsNode | undefined;
      await until(`the stream '${stream}' is not ready`, options, async () => {
        const leading = await leadingView(nodes, stream);
        leader = leading?.leader;
        if (leading === undefined) return 'no node leads it';
        const behind = followersBehind(leading);
        return behind.length === 0 || `not current: ${behind.join(', ')}`;
      });
      return leader as NatsNode;
    },
    async stepDown(stream) {
      const connection = await connect({ servers: url.split(',') });
      try {
        await connection.request(`$JS.API.STREAM.LEADER.STEPDOWN.${stream}`, '', { timeout: 10_000 });
      } finally {
        await connection.close();
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
    },
  };
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** Why a running node cannot serve; undefined when it can, and for one that is meant to be down. */
async function faultOf(node: NatsNode, size: number): Promise<string | undefined> {
  if (!node.running) return undefined;
  try {
    const known = await clusterView(node.monitorUrl);
    if (known.leader === undefined) return `${node.name} knows no JetStream leader`;
    if (known.size < size) return `${node.name} knows ${known.size} of ${size} servers`;
    const fault = await healthFault(node.monitorUrl);
    return fault === undefined ? undefined : `${node.name}: ${fault}`;
  } catch (thrown) {
    return `${node.name}: ${String(thrown)}`;
  }
}

/** How the servers that run see one stream, by their names. */
interface LeadingView {
  readonly leader: NatsNode;
  readonly view: StreamView;
  readonly views: ReadonlyMap<string, StreamView | undefined>;
}

/** A node's word about others may be old; about its own leadership it is not, once it runs. */
async function leadingView(nodes: readonly NatsNode[], stream: string): Promise<LeadingView | undefined> {
  const running = nodes.filter((node) => node.running);
  const views = new Map(
    await Promise.all(
      running.map(async ({ name, monitorUrl }) => [name, await streamView(monitorUrl, stream)] as const),
    ),
  );
  for (const leader of running) {
    const view = views.get(leader.name);
    if (view?.leader === leader.name) return { leader, view, views };
  }
  return undefined;
}

/**
 * Running followers that lack something. The leader's word is not enough: followers do not answer its heartbeats, so that of
 * one that came back with all messages it may know nothing until the next message (2.10.27, on a busy machine).
 */
function followersBehind({ leader, view, views }: LeadingView): string[] {
  const holdsAll = (own: StreamView | undefined) =>
    own !== undefined && own.leader === leader.name && own.lastSequence === view.lastSequence;
  return view.followers
    .filter(({ name, current }) => views.has(name) && !current && !holdsAll(views.get(name)))
    .map(({ name }) => name);
}

async function until(
  what: string,
  { timeoutMs = 30_000 }: WaitOptions,
  attempt: () => Promise<true | string>,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const why = await attempt();
    if (why === true) return;
    if (performance.now() > deadline)
      throw new PostcommitError(
        'service-failed',
        `After ${timeoutMs} ms ${what}: ${why}`,
        'A majority of the nodes must run. Read their logs.',
      );
    await sleep(POLL_MS);
  }
}
