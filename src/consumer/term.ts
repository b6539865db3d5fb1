import type { PostcommitError } from '../errors.ts';
import type { BrokerLink } from '../jetstream/index.ts';
import type { ConsumerLease } from '../lease/consumer-lease.ts';
import { sleep } from '../lifecycle/abort.ts';
import { createDeferred } from '../lifecycle/deferred.ts';
import { type DurableOutcome, type DurableState, deliveredCount } from './delivery/durable.ts';
import { createIntake, GONE_ELSEWHERE, type Intake } from './delivery/intake.ts';
import { keepPulling } from './delivery/keep-pulling.ts';
import { createPull, type Pull } from './delivery/pull.ts';
import type { ConsumerSettings } from './options.ts';
import type { TroubleLog } from './trouble.ts';
import type { Schedule } from './work/schedule.ts';

/** The time in which an instance takes messages: under one lease where an order is kept, its whole life elsewhere. */
export interface Term {
  /** Takes messages until the signal aborts. Returns an error only if the connection is closed for good. */
  run(signal: AbortSignal): Promise<PostcommitError | undefined>;
  /** Resolves when nothing more comes. */
  readonly stopped: Promise<void>;
  /** There may be room for more messages. */
  ask(): void;
  /** Hands back what is not settled; returns how much. */
  handBackAll(): number;
  /** Leaves what is not settled to the instance that works from now on: it reads it from the stream. */
  leaveAll(): void;
}

export interface TermOptions {
  readonly settings: ConsumerSettings;
  readonly link: BrokerLink;
  readonly schedule: Schedule;
  readonly trouble: TroubleLog;
  readonly lease: ConsumerLease | undefined;
  /** Finds or creates the durable. */
  readonly find: () => Promise<DurableOutcome>;
  readonly onFound: (state: DurableState) => void;
  /** Of these event ids, those that have had their effect. */
  readonly recorded: (eventIds: readonly string[]) => Promise<ReadonlySet<string>>;
}

/** Of payloads, most of them behind a key that is tried again and again; one request for messages may come on top. */
const HELD_BYTES = 64 * 1024 * 1024;
const LOOK_EVERY_MS = 1_000;

export function createTerm(options: TermOptions): Term {
  const { settings, link, schedule, trouble, lease, find } = options;
  let heardAtMs = 0;
  const pull = createPull({
    ...settings,
    link,
    onDelivery(delivery) {
      heardAtMs = performance.now();
      if (!intake.take(delivery)) pull.interrupt(GONE_ELSEWHERE);
    },
    // Where one event keeps all others waiting, more of them would only take room.
    waiting() {
      if (schedule.bytes > HELD_BYTES) return Number.MAX_SAFE_INTEGER;
      return settings.order === 'stream' ? schedule.size : schedule.waiting;
    },
  });
  const { onSettled, adopt: onForeign } = pull;
  const { recorded } = options;
  const intake = createIntake({ link, settings, schedule, lease, recorded, onSettled, onForeign });
  const keepAlive = createKeepAlive(pull);
  const stopped = createDeferred<void>();
  return {
    stopped: stopped.promise,
    async run(until) {
      const over = new AbortController();
      const signal = AbortSignal.any([until, over.signal]);
      const watched = { link, settings, pull, intake, signal };
      const watching = lease === undefined ? undefined : watchCount(watched, () => heardAtMs);
      const onFound = async (state: DurableState) => {
        if (signal.aborted) return 'stopping';
        keepAlive.every(state.ackWaitMs / 3);
        const reason = await intake.begin(state, signal);
        if (reason === undefined) options.onFound(state);
        return reason;
      };
      try {
        return await keepPulling({ link, pull, trouble, find, onFound, signal });
      } finally {
        over.abort();
        await watching;
        await pull.stop();
        stopped.resolve();
      }
    },
    ask: () => pull.ask(),
    handBackAll() {
      keepAlive.stop();
      return pull.handBackAll();
    },
    leaveAll() {
      keepAlive.stop();
      pull.forgetAll();
    },
  };
}

interface Watched {
  readonly link: BrokerLink;
  readonly settings: ConsumerSettings;
  readonly pull: Pull;
  readonly intake: Intake;
  readonly signal: AbortSignal;
}

/**
 * A former instance, frozen or cut off, may have an open request at the server, which then delivers to it. Where another
 * message follows, the gap shows; where none does, only the durable's count.
 */
async function watchCount(
  { link, settings, pull, intake, signal }: Watched,
  heardAtMs: () => number,
): Promise<void> {
  while (!signal.aborted) {
    await sleep(LOOK_EVERY_MS, signal);
    if (signal.aborted || performance.now() - heardAtMs() < LOOK_EVERY_MS) continue;
    const count = await deliveredCount(link, settings);
    if (count !== undefined && count > intake.consumerSequence) pull.interrupt(GONE_ELSEWHERE);
  }
}

/** Without it, what waits behind a slow handler or an outage would be delivered again. */
function createKeepAlive(pull: Pull) {
  let timer: NodeJS.Timeout | undefined;
  return {
    every(ms: number) {
      clearInterval(timer);
      timer = setInterval(() => pull.keepAlive(), ms);
    },
    stop: () => clearInterval(timer),
  };
}
