import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type ProcessUsage, processUsage } from '../servers/process-usage.ts';

/**
 * `one`: `consume()` as it comes. `batch-N`: up to N events a transaction. `batches-100`: `consumeBatches()`. `none-4`: four
 * handlers at a time in no order. `stock`: a consumer as it is written by hand. `floor`: commits alone, without NATS.
 */
export const CONSUMERS = [
  'one',
  'batch-10',
  'batch-100',
  'batch-1000',
  'batches-100',
  'none-4',
  'stock',
  'floor',
] as const;
export type ConsumerVariant = (typeof CONSUMERS)[number];

export interface ConsumerTask {
  readonly url: string;
  readonly natsUrl: string;
  readonly stream: string;
  /** New for each start. */
  readonly durable: string;
  readonly from: 'all' | 'new';
}

/** When an event was in the handler, by the clock of `monotonicMicros`, and its number in the payload. */
export type Handled = readonly [number: number, atMicros: number];

export type Command = { readonly do: 'start'; readonly task: ConsumerTask } | { readonly do: 'stop' };
export type Reply =
  | { readonly kind: 'loaded' | 'ready' | 'first' }
  | { readonly kind: 'stopped'; readonly handled: readonly Handled[] };

/** A process that consumes when it is told to: it is warm when it is measured, and its CPU time is that of consuming. */
export interface ConsumerProcess extends AsyncDisposable {
  /** Resolves when it asks for messages. */
  start(task: ConsumerTask): Promise<void>;
  /** Resolves when the first event since `start` is in the handler. */
  readonly first: Promise<void>;
  usage(): Promise<ProcessUsage>;
  /** Ends what is running in order. Returns what was handled. */
  stop(): Promise<readonly Handled[]>;
}

const PATIENCE_MS = 15_000;

export async function startConsumerProcess(variant: ConsumerVariant): Promise<ConsumerProcess> {
  const child = fork(fileURLToPath(new URL('../baselines/consumer-child.ts', import.meta.url)), [variant]);
  const { pid } = child;
  if (pid === undefined) throw new Error('the consumer could not be started');
  const exited = once(child, 'exit');
  const heard = <Kind extends Reply['kind']>(kind: Kind) =>
    new Promise<Extract<Reply, { kind: Kind }>>((resolve, reject) => {
      const late = setTimeout(() => end(`did not say '${kind}' in ${PATIENCE_MS} ms`), PATIENCE_MS);
      const onExit = () => end(`ended before it said '${kind}'`);
      const onMessage = (reply: Reply) => {
        if (reply.kind !== kind) return;
        letGo();
        resolve(reply as Extract<Reply, { kind: Kind }>);
      };
      const letGo = () => {
        clearTimeout(late);
        child.off('message', onMessage).off('exit', onExit);
      };
      function end(what: string): void {
        letGo();
        reject(new Error(`the consumer ${variant} ${what}`));
      }
      child.on('message', onMessage).once('exit', onExit);
    });
  await heard('loaded');
  let first = Promise.resolve();
  const send = (command: Command) => void child.send(command);
  return {
    async start(task) {
      first = heard('first').then(() => undefined);
      first.catch(() => undefined); // Not everybody looks at it.
      const ready = heard('ready');
      send({ do: 'start', task });
      await ready;
    },
    get first() {
      return first;
    },
    usage: () => processUsage(pid),
    async stop() {
      const stopped = heard('stopped');
      send({ do: 'stop' });
      return (await stopped).handled;
    },
    async [Symbol.asyncDispose]() {
      if (child.connected) child.disconnect();
      else child.kill();
      await exited;
    },
  };
}
