import type { Capture, Look } from '../../outbox/capture.ts';

/**
 * Looks, and with a backlog looks ahead: the next look is under way while the last one is being planned, and so is the
 * listing before it, if one is due. A plan that fails ends the term, and what was accepted for it with it.
 */
export interface Lookout {
  next(): Promise<Look>;
  runAhead(): void;
  /** A look, or a listing for it, is under way, or a look waits to be taken: no listing now (R4). */
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
      ahead = lookAhead(capture);
      ahead.catch(() => undefined); // Seen by whoever takes it; nobody does when the loop ends.
    },
    get ahead() {
      return ahead !== undefined;
    },
  };
}

/** The look begins when the listing has returned (R4). */
async function lookAhead(capture: Capture): Promise<Look> {
  if (capture.listingDue(performance.now())) await capture.list();
  return capture.look();
}
