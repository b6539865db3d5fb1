import { fileURLToPath } from 'node:url';
import { startProcess, type WatchedProcess } from './watched-process.ts';

export interface RelayTarget {
  readonly url: string;
  readonly natsUrl: string;
  /** Its subjects begin with its name. */
  readonly stream: string;
}

export interface RelayProcessOptions {
  /** `off`, or where it serves HTTP. Default `off`. */
  readonly http?: string;
  /** Several streams instead of the target's, in `stream` ordering; the subjects of each begin with its name. */
  readonly lanes?: readonly string[];
  /** Further settings, by their environment names. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called for every line of its log. */
  readonly onLine?: (line: Readonly<Record<string, unknown>>) => void;
}

/** `postcommit relay` as a user starts it. */
export type RelayProcess = WatchedProcess;

/** Resolves when it says that it is ready: it publishes, or stands by. */
export function startRelay(
  { url, natsUrl, stream }: RelayTarget,
  { http = 'off', lanes, env = {}, onLine }: RelayProcessOptions = {},
): Promise<RelayProcess> {
  const cli = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
  return startProcess({
    name: 'the relay',
    command: [cli, 'relay'],
    env: {
      DATABASE_URL: url,
      NATS_URL: natsUrl,
      ...(lanes === undefined ? only(stream) : several(lanes)),
      POSTCOMMIT_HTTP: http,
      ...env,
    },
    isReady(text) {
      const line = JSON.parse(text) as Record<string, unknown>;
      onLine?.(line);
      return line.event === 'ready';
    },
  });
}

const only = (stream: string) => ({ POSTCOMMIT_STREAM: stream, POSTCOMMIT_SUBJECTS: `${stream}.>` });

const several = (streams: readonly string[]) => ({
  POSTCOMMIT_LANES: JSON.stringify(streams.map((stream) => ({ stream, subjects: [`${stream}.>`] }))),
});
