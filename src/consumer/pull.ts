import { createInbox, type Msg } from '@nats-io/transport-node';
import { requestApi } from '../jetstream/api.ts';
import type { BrokerLink } from '../jetstream/index.ts';
import { createDelivery, type Delivery } from './message.ts';

/**
 * Messages of a durable, fetched ahead by at most `prefetch`. One request at a time is open; the next is made when
 * it is used up and half of what it brought has been taken. A consumer that takes nothing asks for nothing.
 */
export interface Pull {
  /** Asks for messages, after the durable was found. Returns when the server stops answering, with the reason. */
  run(signal: AbortSignal): Promise<Interruption>;
  /** The next message in the order of delivery; undefined once stopped. */
  next(): Promise<Delivery | undefined>;
  /** Tells the server that every message not settled yet is being worked on. */
  keepAlive(): void;
  /** Asks for nothing more and hands back what was fetched and not taken. */
  stop(): Promise<void>;
  /** Hands back whatever is not settled; returns how many there were. */
  handBackAll(): number;
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
export function createPull({ link, stream, durable, prefetch }: PullOptions): Pull {
  const inbox = createInbox();
  const buffer: Delivery[] = [];
  const unsettled = new Set<Delivery>();
  const takers: ((delivery: Delivery | undefined) => void)[] = [];
  let request: OpenRequest | undefined;
  let requests = 0;
  let heardAt = 0;
  let interrupt: ((reason: string) => void) | undefined;
  let stopped = false;

  const subscription = link.connection.subscribe(`${inbox}.*`, {
    callback: (error, message) => {
      if (error) interrupt?.(error.message);
      else receive(message);
    },
  });

  function receive(message: Msg): void {
    heardAt = performance.now();
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
    const delivery = createDelivery(message, {
      connection: link.connection,
      onSettled: (settled) => unsettled.delete(settled),
    });
    unsettled.add(delivery);
    const taker = takers.shift();
    if (taker === undefined) buffer.push(delivery);
    else taker(delivery);
    if (request === undefined) return;
    request.owed -= 1;
    if (request.owed > 0) return;
    request = undefined;
    refill();
  }

  function refill(): void {
    if (interrupt === undefined || request !== undefined || buffer.length > prefetch / 2) return;
    requests += 1;
    request = { subject: `${inbox}.${requests}`, owed: prefetch - buffer.length };
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
      const startedAt = performance.now();
      const interrupted = listen(signal);
      heardAt = startedAt;
      refill();
      const reason = await interrupted;
      return { reason, answered: heardAt > startedAt };
    },
    next() {
      if (stopped) return Promise.resolve(undefined);
      const delivery = buffer.shift();
      if (delivery === undefined) return new Promise((resolve) => takers.push(resolve));
      refill();
      return Promise.resolve(delivery);
    },
    keepAlive() {
      for (const delivery of unsettled) delivery.working();
    },
    async stop() {
      stopped = true;
      for (const taker of takers.splice(0)) taker(undefined);
      await letGo();
      for (const delivery of buffer.splice(0)) delivery.nak(0);
    },
    handBackAll() {
      const left = [...unsettled];
      for (const delivery of left) delivery.nak(0);
      return left.length;
    },
  };
}
