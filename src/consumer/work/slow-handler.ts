import type { ConsumedEvent } from '../../jetstream/index.ts';
import type { ConsumerSettings } from '../options.ts';

/** A handler that never ends keeps its key, a worker and a connection of the pool, and nothing else would say so. */
const SLOW_MS = 30_000;

/** Waits for a handler; says that it does not end, and again each time it has taken twice as long. */
export async function watchHandler(
  handling: Promise<void>,
  events: readonly ConsumedEvent[],
  { logger, meter, durable: consumer }: ConsumerSettings,
): Promise<void> {
  const startedAtMs = performance.now();
  const seconds = () => (performance.now() - startedAtMs) / 1_000;
  let slow = false;
  let timer: NodeJS.Timeout | undefined;
  const watch = (ms: number) => {
    timer = setTimeout(() => {
      if (!slow) meter.slowHandlers(1);
      slow = true;
      logger.warn(
        {
          event: 'consumer-handler-slow',
          consumer,
          sequence: events[0]?.sequence,
          seconds: Math.round(seconds()),
        },
        'A handler has not ended yet; its event, those behind it and a connection wait for it',
      );
      watch(2 * ms);
    }, ms);
  };
  watch(SLOW_MS);
  try {
    await handling;
  } finally {
    clearTimeout(timer);
    if (slow) meter.slowHandlers(-1);
    meter.handled(seconds());
  }
}
