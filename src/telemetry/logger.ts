import { type DestinationStream, type Logger, pino } from 'pino';
import { build as prettyStream } from 'pino-pretty';

export type { Logger } from 'pino';

export interface LoggerOptions {
  /** A pino level, or `silent`. Default `info`. */
  readonly level?: string;
  /** Coloured lines for a person instead of JSON. */
  readonly pretty?: boolean;
  /** Where the lines go. Default standard output, written synchronously so that a crash loses none. */
  readonly destination?: DestinationStream;
}

/** Each line carries a stable `event` name; payloads and secrets are never logged. */
export function createLogger({ level = 'info', pretty = false, destination }: LoggerOptions = {}): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (destination !== undefined) return pino(options, destination);
  if (pretty)
    return pino(options, prettyStream({ sync: true, ignore: 'event', translateTime: 'HH:MM:ss.l' }));
  return pino(options, pino.destination({ dest: 1, sync: true }));
}

/** A logger that says nothing, for library use without one. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}
