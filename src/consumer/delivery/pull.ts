import type { Msg, Subscription } from '@nats-io/transport-node';
import { requestApi } from '../../jetstream/api.ts';
import { type BrokerLink, newInbox } from '../../jetstream/index.ts';
import { createDelivery, type Delivery } from './delivery.ts';

/**
 * Messages of a durable, fetched ahead by at most `prefetch`. One request at a time is open; the next is made when
 * it is used up and half of what it brought has been taken. A consumer that takes nothing asks for nothing.
 */
export interface Pull {
  /** Listens, after the durable was found. Returns when the server stops answering, or it is interrupted, with the reason. */
  run(signal: AbortSignal): Promise<Interruption>;
  /** Asks for messages if there is room for them and nothing was asked for; to be called when there may be. */
  ask(): void;
  /** Ends the run. */
  interrupt(reason: string): void;
  /** Tells the server that every message not settled yet is being worked on. */
  keepAlive(): void;
  /** This message is not settled either, although it did not come by this way. */
  adopt(delivery: Delivery): void;
  readonly onSettled: (delivery: Delivery) => void;
  /** Asks for nothing more; what still comes is passed on. */
  stop(): Promise<void>;
  /** Hands back whatever is not settled; returns how many there were. */
  handBackAll(): number;
  /** What is not settled is somebody else's now. */
  forgetAll(): void;
}

export interface Interruption {
  readonly reason: string;
  /** True if anything came from the server before. */
  readonly answered: boolean;
}

export interface PullOptions {
  readonly link: BrokerLink;
  readonly stream: string;
  readonly durable: string;
  readonly prefetch: number;
  readonly onDelivery: (delivery: Delivery) => void;
  /** How many that were passed on wait to be taken. */
  readonly waiting: () => number;
}

const EXPIRES_MS = 30_000;
const HEARTBEAT_MS = 5_000;
const SILENCE_MS = 3 * HEARTBEAT_MS;
const NANOS_PER_MS = 1_000_000;

interface OpenRequest {
  readonly subject: string;
  /** Messages it still has to bring. */
  owed: number;
}

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one small state machine, whose steps are named functions.
export function createPull(options: PullOptions): Pull {
  const { link, stream, durable, prefetch, onDelivery, waiting } = options;
  const inbox = newInbox(link);
  const unsettled = new Set<Delivery>();
  const onSettled = (settled: Delivery) => void unsettled.delete(settled);
  let request: OpenRequest | undefined;
  let requests = 0;
  let heardAt = 0;
  let heard = 0;
  let interrupt: ((reason: string) => void) | undefined;

  let subscription = subscribe();

  function subscribe(): Subscription {
    return link.connection.subscribe(`${inbox}.*`, {
      callback: (error, message) => {
        if (error) interrupt?.(error.message);
        else receive(message);
      },
    });
  }

  function receive(message: Msg): void {
    heardAt = performance.now();
    heard++;
    // Messages arrive under their own subject, the server's remarks under that of the request.
    if (message.subject.startsWith(inbox)) hear(message);
    else take(message);
  }

  function hear(message: Msg): void {
    const { code = 503, description = 'no answer' } = message.headers ?? {};
    if (code === 100 || message.subject !== request?.subject) return;
    request = undefined;
    if (code === 408 || code === 404) refill();
    else
      interrupt?.(
        code === 503 ? 'the durable does not answer' : `the server ended the request: ${description}`,
      );
  }

  function take(message: Msg): void {
    const delivery = createDelivery(message, { connection: link.connection, onSettled });
    unsettled.add(delivery);
    if (request !== undefined) request.owed -= 1;
    onDelivery(delivery);
    if (request === undefined || request.owed > 0) return;
    request = undefined;
    refill();
  }

  function refill(): void {
    if (interrupt === undefined || request !== undefined || waiting() > prefetch / 2) return;
    requests += 1;
    heardAt = performance.now();
    request = { subject: `${inbox}.${requests}`, owed: Math.max(1, prefetch - waiting()) };
    const body = {
      batch: request.owed,
      expires: EXPIRES_MS * NANOS_PER_MS,
      idle_heartbeat: HEARTBEAT_MS * NANOS_PER_MS,
    };
    link.connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${durable}`, JSON.stringify(body), {
      reply: request.subject,
    });
  }

  function listen(signal: AbortSignal): Promise<string> {
    return new Promise((resolve) => {
      const end = (reason: string) => {
        interrupt = undefined;
        request = undefined;
        clearInterval(watchdog);
        off();
        signal.removeEventListener('abort', onAbort);
        resolve(reason);
      };
      const onAbort = () => end('stopping');
      const watchdog = setInterval(() => {
        if (request !== undefined && performance.now() - heardAt > SILENCE_MS) end('no heartbeat came');
      }, HEARTBEAT_MS);
      const off = link.onDisconnect(() => end('the connection to NATS was lost'));
      signal.addEventListener('abort', onAbort, { once: true });
      interrupt = end;
      if (signal.aborted) end('stopping');
    });
  }

  async function letGo(): Promise<void> {
    if (!link.connected) return subscription.unsubscribe();
    // Draining waits until the server has confirmed: what it sent before that is handed back too.
    await subscription.drain().catch(() => undefined);
    // Looking at a consumer makes the server drop requests that nobody listens for any more. Otherwise the first
    // message handed back would go to ours, and on 2.9 wait for the ack wait then (9 of 60 stops).
    await requestApi(link, `CONSUMER.INFO.${stream}.${durable}`, { timeoutMs: 1_000 });
  }

  return {
    async run(signal) {
      // A subscription that was not allowed is closed, and may be allowed by now.
      if (subscription.isClosed()) subscription = subscribe();
      const before = heard;
      const reason = await listen(signal);
      return { reason, answered: heard > before };
    },
    ask: refill,
    interrupt: (reason) => interrupt?.(reason),
    adopt: (delivery) => void unsettled.add(delivery),
    onSettled,
    keepAlive() {
      for (const delivery of unsettled) delivery.working();
    },
    stop: letGo,
    forgetAll: () => unsettled.clear(),
    handBackAll() {
      const left = [...unsettled];
      for (const delivery of left) delivery.nak(0);
      return left.length;
    },
  };
}
