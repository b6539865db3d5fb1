/**
 * Thrown by a handler: not now. Its transaction is rolled back, and the event comes again after the delay. Counts as a failed
 * attempt like any other error.
 */
export class Retry extends Error {
  readonly delayMs: number;

  constructor(delayMs: number, reason = 'the handler asked for another attempt') {
    super(reason);
    this.name = 'Retry';
    this.delayMs = Number.isFinite(delayMs) && delayMs > 0 ? delayMs : 0;
  }
}

/** Thrown by a handler: never. Its transaction is rolled back, and the event becomes a dead letter at once. */
export class Reject extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'Reject';
  }
}
