import type { Tap } from '../../../src/testing/index.ts';

/** One server's wire, at which statements and messages can be held on their way there, or their answers on the way back. */
export interface Wire {
  readonly tap: Tap;
  /** The next packet to the server with this mark in it, and everything behind it on that connection, waits. */
  hold(mark: string): Hold;
  /** The answer to the next packet with this mark waits: the server has seen it. */
  holdAnswer(mark: string): Hold;
  /** Every packet to the server waits, on every connection. */
  holdAll(): Hold;
}

export interface Hold {
  /** Resolves when it is there. */
  readonly reached: Promise<void>;
  /** Lets it pass; also what would have been held later. */
  release(): void;
}

interface Watch {
  /** Undefined: any. */
  readonly mark: string | undefined;
  readonly direction: 'up' | 'down';
  readonly reached: PromiseWithResolvers<void>;
  readonly released: PromiseWithResolvers<void>;
  /** Of the connection on which the mark was seen. */
  link: number | undefined;
}

export function createWire(): Wire {
  const watches = new Set<Watch>();
  const add = (mark: string | undefined, direction: Watch['direction']): Hold => {
    const watch: Watch = {
      mark,
      direction,
      reached: Promise.withResolvers<void>(),
      released: Promise.withResolvers<void>(),
      link: undefined,
    };
    watches.add(watch);
    return {
      reached: watch.reached.promise,
      release() {
        watches.delete(watch);
        watch.released.resolve();
      },
    };
  };
  return {
    async tap(link, direction, bytes) {
      for (const watch of [...watches]) {
        if (direction === 'up' && watch.link === undefined && watch.mark && bytes.includes(watch.mark))
          watch.link = link;
        if ((watch.mark && watch.link !== link) || watch.direction !== direction) continue;
        watch.reached.resolve();
        await watch.released.promise;
      }
    },
    hold: (mark) => add(mark, 'up'),
    holdAnswer: (mark) => add(mark, 'down'),
    holdAll: () => add(undefined, 'up'),
  };
}
