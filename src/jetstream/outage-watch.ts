import { sleep } from '../lifecycle/abort.ts';
import type { ConnectFailure } from './connect-failure.ts';

/** Learns why a connection does not come back: the client tries for ever, and says nothing of why it fails. */
export interface OutageWatch {
  /** What the last attempt met; undefined while there is no outage, or nothing is known yet. */
  readonly failure: ConnectFailure | undefined;
  begin(): void;
  end(): void;
}

/** A restart of the server is over by then, and needs no explanation. */
const FIRST_AFTER_MS = 2_000;
const AGAIN_AFTER_MS = 5_000;
/** What has been told is told again, for who looks only at the end of a log. */
const TELL_AGAIN_AFTER_MS = 30_000;

export interface OutageWatchOptions {
  /** Dials beside the client; undefined if that succeeds. */
  dial(): Promise<ConnectFailure | undefined>;
  tell(failure: ConnectFailure): void;
}

export function createOutageWatch({ dial, tell }: OutageWatchOptions): OutageWatch {
  let failure: ConnectFailure | undefined;
  let over: AbortController | undefined;

  async function watch(signal: AbortSignal): Promise<void> {
    let told = { reason: '', atMs: 0 };
    await sleep(FIRST_AFTER_MS, signal);
    while (!signal.aborted) {
      const met = await dial();
      if (signal.aborted) return;
      failure = met;
      const nowMs = performance.now();
      if (met !== undefined && (met.reason !== told.reason || nowMs - told.atMs > TELL_AGAIN_AFTER_MS)) {
        told = { reason: met.reason, atMs: nowMs };
        tell(met);
      }
      await sleep(AGAIN_AFTER_MS, signal);
    }
  }

  return {
    get failure() {
      return failure;
    },
    begin() {
      if (over !== undefined) return;
      over = new AbortController();
      void watch(over.signal);
    },
    end() {
      over?.abort();
      over = undefined;
      failure = undefined;
    },
  };
}
