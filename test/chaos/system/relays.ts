import { freePort } from '../../../src/embedded/index.ts';
import { RELAY_MAIN, type RelaySettings } from '../../support/relay-settings.ts';
import type { Chronicle } from '../chronicle.ts';
import { type Actor, createActor } from './actor.ts';
import type { Line } from './child.ts';
import { createLookout, type Lookout } from './points.ts';
import { openWays, type Servers, type Ways } from './ways.ts';

/** A relay that dies and is started again, with ways of its own to each server. */
export interface RelayPlace extends Actor, AsyncDisposable {
  readonly ways: Ways;
  readonly lookouts: Readonly<Record<'postgres' | 'nats', Lookout>>;
  readonly leads: boolean;
  readonly ready: boolean;
  readonly frozen: boolean;
  readonly peakMiB: number;
  measure(): Promise<void>;
  /** What /readyz says; undefined when it does not answer. */
  readiness(): Promise<unknown>;
}

export type RelayOptions = Omit<RelaySettings, keyof Servers | 'http'>;

export async function openRelayPlace(
  name: string,
  servers: Servers,
  { options, chronicle }: { options: RelayOptions; chronicle: Chronicle },
): Promise<RelayPlace> {
  const lookouts = { postgres: createLookout(), nats: createLookout() };
  const ways = await openWays(servers, { postgres: lookouts.postgres.tap, nats: lookouts.nats.tap });
  const http = `127.0.0.1:${await freePort()}`;
  const settings: RelaySettings = { ...options, ...ways.servers, http };
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
  const onLine = (line: Line) => {
    if (line.event === 'role') becomes(String(line.role), line.epoch);
    if (line.event === 'ready') ready = true;
  };
  const onEnd = () => {
    becomes('none');
    ready = false;
    frozen = false;
  };
  const actor = createActor({ name, script: RELAY_MAIN, settings: () => settings, chronicle, onLine, onEnd });
  return {
    name,
    ways,
    lookouts,
    get child() {
      return actor.child;
    },
    get leads() {
      return role === 'leader' && actor.child?.running === true;
    },
    get ready() {
      return ready && actor.child?.running === true;
    },
    get frozen() {
      return frozen;
    },
    get peakMiB() {
      return peakMiB;
    },
    start: actor.start,
    signal(signal) {
      actor.signal(signal);
      if (signal === 'SIGSTOP') frozen = true;
      if (signal === 'SIGCONT') frozen = false;
    },
    end: actor.end,
    async measure() {
      peakMiB = Math.max(peakMiB, (await actor.child?.residentMiB()) ?? 0);
    },
    readiness: () =>
      fetch(`http://${http}/readyz`, { signal: AbortSignal.timeout(1_000) }).then(
        (response) => response.json(),
        () => undefined,
      ),
    async [Symbol.asyncDispose]() {
      await actor.end('SIGKILL');
      await ways[Symbol.asyncDispose]();
    },
  };
}
