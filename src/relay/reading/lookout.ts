import type { Capture, Look } from '../../outbox/capture.ts';

/**
 * Looks, and with a backlog looks ahead: the next look is under way while the last one is being planned. A plan that
 * fails ends the term, and what was accepted for it with it.
 */
export interface Lookout {
  next(): Promise<Look>;
  runAhead(): void;
  /** A look is under way or waits to be taken: no listing now (R4). */
  readonly ahead: boolean;
}

export function createLookout(capture: Capture): Lookout {
  let ahead: Promise<Look> | undefined;
  return {
    next() {
      const look = ahead ?? capture.look();
      ahead = undefined;
      return look;
    },
    runAhead() {
      if (capture.listingDue(performance.now())) return;
      ahead = capture.look();
      ahead.catch(() => undefined); // Seen by whoever takes it; nobody does when the loop ends.
    },
    get ahead() {
      return ahead !== undefined;
    },
  };
}
