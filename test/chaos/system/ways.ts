import { startTcpProxy, type Tap, type TcpProxy } from '../../../src/testing/index.ts';

export interface Servers {
  readonly databaseUrl: string;
  /** Of several servers separated by commas. */
  readonly natsUrl: string;
}

/** The ways of one part of the system to its servers. They stay when it dies. */
export interface Ways extends AsyncDisposable {
  readonly postgres: TcpProxy;
  /** None to a cluster: its servers tell their clients the addresses of all. */
  readonly nats: TcpProxy | undefined;
  /** The servers as they are reached by these ways. */
  readonly servers: Servers;
  /** Undoes every fault. */
  heal(): Promise<void>;
}

export async function openWays(
  { databaseUrl, natsUrl }: Servers,
  taps: { readonly postgres?: Tap; readonly nats?: Tap } = {},
): Promise<Ways> {
  const postgres = await proxyTo(databaseUrl, taps.postgres);
  const nats = natsUrl.includes(',') ? undefined : await proxyTo(natsUrl, taps.nats);
  const proxies = nats === undefined ? [postgres] : [postgres, nats];
  return {
    postgres,
    nats,
    servers: { databaseUrl: postgres.through(databaseUrl), natsUrl: nats?.through(natsUrl) ?? natsUrl },
    async heal() {
      for (const proxy of proxies) {
        proxy.heal();
        await proxy.accept();
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
    },
  };
}

function proxyTo(url: string, tap: Tap | undefined): Promise<TcpProxy> {
  const port = Number(new URL(url).port);
  return startTcpProxy(tap === undefined ? { port } : { port, tap });
}
