import type { TcpProxy } from '../../../src/testing/index.ts';
import type { Chronicle } from '../chronicle.ts';
import { type Child, startChild } from './child.ts';
import type { ConsumerSettings } from './consumer-main.ts';
import { proxyTo, type Servers } from './relays.ts';

/** A place for an instance of the durable consumer, behind proxies of its own. */
export interface ConsumerPlace {
  readonly name: string;
  readonly postgres: TcpProxy;
  readonly nats: TcpProxy | undefined;
  readonly child: Child | undefined;
  start(): void;
  close(): Promise<void>;
}

const SCRIPT = new URL('./consumer-main.ts', import.meta.url);

export async function openConsumerPlace(
  name: string,
  servers: Servers,
  { settings, chronicle }: { settings: Omit<ConsumerSettings, keyof Servers>; chronicle: Chronicle },
): Promise<ConsumerPlace> {
  const postgres = await proxyTo(servers.databaseUrl);
  const nats = servers.natsUrl.includes(',') ? undefined : await proxyTo(servers.natsUrl);
  const all: ConsumerSettings = {
    ...settings,
    databaseUrl: postgres.through(servers.databaseUrl),
    natsUrl: nats?.through(servers.natsUrl) ?? servers.natsUrl,
  };
  let child: Child | undefined;
  return {
    name,
    postgres,
    nats,
    get child() {
      return child;
    },
    start() {
      if (child?.running) return;
      const started = startChild(SCRIPT, all, (line) => {
        if (Number(line.level) >= 40)
          chronicle.note(name, 'says', { event: line.event, reason: line.reason ?? line.msg });
      });
      child = started;
      const ended = chronicle.begin(name, 'runs', { pid: started.pid });
      void started.exited.then(() => {
        ended();
        if (started.stderr !== '') chronicle.note(name, 'wrote to standard error', { text: started.stderr });
      });
    },
    async close() {
      child?.kill('SIGKILL');
      await child?.exited;
      await Promise.all([postgres[Symbol.asyncDispose](), nats?.[Symbol.asyncDispose]()]);
    },
  };
}
