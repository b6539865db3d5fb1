import { PostcommitError } from '../errors.ts';
import type { LaneOptions, Relay } from '../relay/index.ts';
import type { Logger } from '../telemetry/logger.ts';
import { both, createOpened, type Opened } from './opened.ts';
import { type ScratchBroker, startBroker, useBroker } from './scratch-broker.ts';
import { type ScratchDatabase, scratchName, type TemplateDatabase } from './scratch-database.ts';
import { startRelay } from './scratch-relay.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';

/**
 * A world of its own for a test, or for a file of tests: a database with the schema and what `prepare` made, a NATS and a
 * relay between the two. Disposing of it ends all sessions of that database: end your pools before.
 */
export interface Scratch extends AsyncDisposable {
  /** As a role that may do everything there. */
  readonly databaseUrl: string;
  readonly natsUrl: string;
  /** That of the first lane. */
  readonly stream: string;
  /** Undefined with `relay: false`. */
  readonly relay: Relay | undefined;
}

/** One whose connections can be cut: `databaseUrl` and `natsUrl` lead through proxies, and the relay's ways do. */
export interface FaultyScratch extends Scratch {
  readonly toPostgres: TcpProxy;
  readonly toNats: TcpProxy;
}

export interface ScratchParts {
  readonly template: TemplateDatabase;
  readonly natsUrl: string | undefined;
  readonly lanes: readonly LaneOptions[] | undefined;
  readonly relay: boolean;
  readonly logger: Logger | undefined;
}

const SUBJECTS = ['events.>'];

export async function openScratch(parts: ScratchParts): Promise<Scratch> {
  return openWith(parts, async (urls) => urls);
}

export async function openFaultyScratch(parts: ScratchParts): Promise<FaultyScratch> {
  return openWith(parts, async ({ databaseUrl, natsUrl }, opened) => {
    const toPostgres = await opened.keep(startTcpProxy(addressOf(databaseUrl, 5432)));
    const toNats = await opened.keep(startTcpProxy(addressOf(natsUrl, 4222)));
    return {
      databaseUrl: toPostgres.through(databaseUrl),
      natsUrl: toNats.through(natsUrl),
      toPostgres,
      toNats,
    };
  });
}

interface Urls {
  readonly databaseUrl: string;
  readonly natsUrl: string;
}

async function openWith<Ways extends Urls>(
  parts: ScratchParts,
  wayTo: (urls: Urls, opened: Opened) => Promise<Ways>,
): Promise<Ways & Scratch> {
  const opened = createOpened();
  try {
    const lanes = parts.lanes ?? [defaultLane(parts)];
    const [database, broker] = await both<ScratchDatabase, ScratchBroker>(
      opened.keep(parts.template.copy()),
      opened.keep(openBroker(parts, lanes)),
    );
    const ways = await wayTo({ databaseUrl: database.url, natsUrl: broker.url }, opened);
    const relay = parts.relay ? await keepRelay(opened, { ...parts, ...ways, lanes }) : undefined;
    const [first] = lanes;
    const close = opened[Symbol.asyncDispose];
    return { ...ways, stream: first?.stream ?? '', relay, [Symbol.asyncDispose]: close };
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

/** On a server of its own the stream may have the name that it has in production. */
function defaultLane({ natsUrl }: ScratchParts): LaneOptions {
  return { stream: natsUrl === undefined ? 'postcommit' : scratchName(), subjects: SUBJECTS };
}

function openBroker({ natsUrl }: ScratchParts, lanes: readonly LaneOptions[]): Promise<ScratchBroker> {
  if (natsUrl === undefined) return startBroker();
  return useBroker(
    natsUrl,
    lanes.map(({ stream }) => stream),
  );
}

interface RelayParts extends Urls {
  readonly lanes: readonly LaneOptions[];
  readonly logger: Logger | undefined;
}

async function keepRelay(
  opened: Opened,
  { databaseUrl, natsUrl, lanes, logger }: RelayParts,
): Promise<Relay> {
  const relay = await startRelay({
    databaseUrl: () => databaseUrl,
    nats: () => ({ servers: natsUrl.split(',') }),
    lanes,
    ...(logger === undefined ? {} : { logger }),
  });
  // What a test has left behind in its outbox goes nowhere any more.
  await opened.keep(Promise.resolve({ [Symbol.asyncDispose]: () => relay.stop({ graceMs: 0 }) }));
  return relay;
}

function addressOf(url: string, defaultPort: number): { readonly host: string; readonly port: number } {
  try {
    const { hostname, port } = new URL(url);
    return { host: hostname, port: Number(port || defaultPort) };
  } catch (cause) {
    throw new PostcommitError(
      'config-invalid',
      'a scratch with faults takes the URL of one server',
      'Name one server with a host in `databaseUrl` and `natsUrl`, or leave them out.',
      { cause },
    );
  }
}
