import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { sleep } from '../lifecycle/abort.ts';
import { type Session, unreachable } from './session.ts';

export interface RoundTripOptions {
  readonly url: string;
  readonly name: string;
  readonly timeoutMs: number;
}

/** How long the server may take to close its side. */
const END_PATIENCE_MS = 1_000;

/**
 * Notifies on a channel of its own that nobody else listens on, and waits for it on a second connection. Returns how long it
 * took in milliseconds, undefined if it never came.
 *
 * @throws PostcommitError `database-unreachable` if no second connection comes about.
 */
export async function notificationRoundTrip(
  session: Session,
  { url, name, timeoutMs }: RoundTripOptions,
): Promise<number | undefined> {
  const channel = `postcommit_${randomBytes(8).toString('hex')}`;
  const listening = new pg.Client({
    connectionString: url,
    application_name: name,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
  });
  listening.on('error', () => undefined);
  const [over, ended] = [new AbortController(), new AbortController()];
  try {
    await listening.connect().catch((error: unknown) => Promise.reject(unreachable(url, error)));
    const arrived = new Promise<number>((resolve) => {
      listening.once('notification', () => resolve(performance.now()));
    });
    await listening.query(`listen ${channel}`);
    const sentAtMs = performance.now();
    await session.query({ text: "select pg_notify($1, '')", values: [channel] });
    const arrivedAtMs = await Promise.race([arrived, sleep(timeoutMs, over.signal)]);
    return arrivedAtMs === undefined ? undefined : arrivedAtMs - sentAtMs;
  } finally {
    over.abort();
    await Promise.race([listening.end().catch(() => undefined), sleep(END_PATIENCE_MS, ended.signal)]);
    ended.abort();
    listening.connection.stream.destroy();
  }
}
