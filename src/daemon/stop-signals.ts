import { constants } from 'node:os';

/** The part of `process` that tells of signals. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  off(signal: NodeJS.Signals, listener: () => void): unknown;
}

export interface StopSignals {
  /** Aborted by the first signal; its reason is the signal's name. */
  readonly requested: AbortSignal;
  /** Takes the listeners off again. */
  release(): void;
}

/** The first SIGTERM or SIGINT asks for an orderly stop, the second ends the process at once with 128+n. */
export function watchStopSignals(
  options: { readonly source?: SignalSource; readonly exit?: (code: number) => void } = {},
): StopSignals {
  const { source = process, exit = (code) => process.exit(code) } = options;
  const controller = new AbortController();
  const listeners = (['SIGTERM', 'SIGINT'] as const).map((signal) => {
    const listener = () => {
      if (controller.signal.aborted) exit(128 + constants.signals[signal]);
      else controller.abort(signal);
    };
    source.on(signal, listener);
    return { signal, listener };
  });
  return {
    requested: controller.signal,
    release() {
      for (const { signal, listener } of listeners) source.off(signal, listener);
    },
  };
}
