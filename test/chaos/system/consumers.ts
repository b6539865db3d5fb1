import type { Chronicle } from '../chronicle.ts';
import { type Actor, createActor } from './actor.ts';
import type { ConsumerSettings } from './consumer-main.ts';
import { openWays, type Servers, type Ways } from './ways.ts';

/** An instance of the durable consumer that dies and is started again, with ways of its own to each server. */
export interface ConsumerPlace extends Actor, AsyncDisposable {
  readonly ways: Ways;
}

const SCRIPT = new URL('./consumer-main.ts', import.meta.url);

export async function openConsumerPlace(
  name: string,
  servers: Servers,
  { options, chronicle }: { options: Omit<ConsumerSettings, keyof Servers>; chronicle: Chronicle },
): Promise<ConsumerPlace> {
  const ways = await openWays(servers);
  const settings = (): ConsumerSettings => ({ ...options, ...ways.servers });
  const actor = createActor({ name, script: SCRIPT, settings, chronicle });
  return Object.assign(actor, {
    ways,
    async [Symbol.asyncDispose]() {
      await actor.end('SIGKILL');
      await ways[Symbol.asyncDispose]();
    },
  });
}
