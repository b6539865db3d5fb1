import { freePort } from '../../../src/embedded/index.ts';
import { startTcpProxy, type TcpProxy } from '../../../src/testing/index.ts';
import type { Chronicle } from '../chronicle.ts';
import { type Child, startChild } from './child.ts';
import { createLookout, type Lookout } from './points.ts';
import type { RelaySettings } from './relay-main.ts';

/** A place for a relay: its way to each server leads through a proxy of its own, and stays when the relay dies. */
export interface RelayPlace {
  readonly name: string;
  readonly postgres: TcpProxy;
  readonly nats: TcpProxy | undefined;
  readonly lookouts: Readonly<Record<'postgres' | 'nats', Lookout>>;
  readonly child: Child | undefined;
  readonly leads: boolean;
  readonly ready: boolean;
  readonly frozen: boolean;
  readonly peakMiB: number;
  start(): void;
  signal(signal: NodeJS.Signals): void;
  measure(): Promise<void>;
  /** What /readyz says; undefined when it does not answer. */
  readiness(): Promise<unknown>;
  /** Ends the relay and frees the ports. */
  close(): Promise<void>;
}

export type RelayOptions = Omit<RelaySettings, 'databaseUrl' | 'natsUrl' | 'httpPort'>;

export interface Servers {
  readonly databaseUrl: string;
  /** Of several servers separated by commas: then there is no proxy, as their clients learn the addresses of all. */
  readonly natsUrl: string;
}

const SCRIPT = new URL('./relay-main.ts', import.meta.url);

export async function openRelayPlace(
  name: string,
  servers: Servers,
  { options, chronicle }: { options: RelayOptions; chronicle: Chronicle },
): Promise<RelayPlace> {
  const lookouts = { postgres: createLookout(), nats: createLookout() };
  const postgres = await proxyTo(servers.databaseUrl, lookouts.postgres);
  const nats = servers.natsUrl.includes(',') ? undefined : await proxyTo(servers.natsUrl, lookouts.nats);
  const httpPort = await freePort();
  const settings: RelaySettings = {
    ...options,
    databaseUrl: postgres.through(servers.databaseUrl),
    natsUrl: nats?.through(servers.natsUrl) ?? servers.natsUrl,
    httpPort,
  };
  let child: Child | undefined;
  let role = 'none';
  let ready = false;
  let frozen = false;
  let peakMiB = 0;
  let endLead: (() => void) | undefined;
  const becomes = (next: string, epoch?: unknown) => {
    if (role === next) return;
    role = next;
    endLead?.();
    endLead = next === 'leader' ? chronicle.begin(name, 'leads', { epoch }) : undefined;
  };
  const onLine = (line: Readonly<Record<string, unknown>>) => {
    if (line.event === 'role') becomes(String(line.role), line.epoch);
    if (line.event === 'ready') ready = true;
    if (Number(line.level) >= 40)
      chronicle.note(name, 'says', { event: line.event, reason: line.reason ?? line.msg });
  };
  return {
    name,
    postgres,
    nats,
    lookouts,
    get child() {
      return child;
    },
    get leads() {
      return role === 'leader' && child?.running === true;
    },
    get ready() {
      return ready && child?.running === true;
    },
    get frozen() {
      return frozen;
    },
    get peakMiB() {
      return peakMiB;
    },
    start() {
      if (child?.running) return;
      ready = false;
      frozen = false;
      const started = startChild(SCRIPT, settings, onLine);
      child = started;
      const ended = chronicle.begin(name, 'runs', { pid: started.pid });
      void started.exited.then(() => {
        ended();
        becomes('none');
        if (started.stderr !== '') chronicle.note(name, 'wrote to standard error', { text: started.stderr });
      });
    },
    signal(signal) {
      child?.kill(signal);
      if (signal === 'SIGSTOP') frozen = true;
      if (signal === 'SIGCONT') frozen = false;
    },
    async measure() {
      peakMiB = Math.max(peakMiB, (await child?.residentMiB()) ?? 0);
    },
    readiness: () =>
      fetch(`http://127.0.0.1:${httpPort}/readyz`, { signal: AbortSignal.timeout(1_000) }).then(
        (response) => response.json(),
        () => undefined,
      ),
    async close() {
      child?.kill('SIGKILL');
      await child?.exited;
      await Promise.all([postgres[Symbol.asyncDispose](), nats?.[Symbol.asyncDispose]()]);
    },
  };
}

export function proxyTo(url: string, lookout?: Lookout): Promise<TcpProxy> {
  const port = Number(new URL(url).port);
  return startTcpProxy(lookout === undefined ? { port } : { port, tap: lookout.tap });
}
