import { connect, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node';
import { PostcommitError } from '../errors.ts';
import { aborted } from '../lifecycle/abort.ts';
import { CLOSED, type ConnectFailure, connectFailureOf, failureOfTls } from './connect-failure.ts';
import { type NatsSettings, type NatsSettingsSource, parseServers } from './settings.ts';
import { probeTls } from './tls-probe.ts';

export interface Attempt {
  readonly settings: NatsSettings;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs: number;
}

/** The connection, or `broker-unreachable` with what stands in its way. */
export async function firstAttempt(
  connecting: Promise<NatsConnection>,
  attempt: Attempt,
): Promise<NatsConnection> {
  const { settings, signal, timeoutMs } = attempt;
  const ended = new AbortController();
  const timer = setTimeout(() => ended.abort(), timeoutMs);
  const stop = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal]);
  try {
    const connection = await Promise.race([connecting, aborted(stop)]);
    if (connection !== undefined) return connection;
    throw new Error(signal?.aborted ? 'the start was cancelled' : `no answer in ${timeoutMs} ms`);
  } catch (thrown) {
    // The client may still get through later; nobody would close that connection.
    connecting.then(
      (late) => late.close(),
      () => undefined,
    );
    const { reason, hint } = await explain(thrown, attempt);
    const message = `cannot connect to NATS at ${addressesOf(settings).join(', ')}: ${reason}`;
    throw new PostcommitError('broker-unreachable', message, hint);
  } finally {
    clearTimeout(timer);
    ended.abort();
  }
}

const BESIDE_TIMEOUT_MS = 5_000;

/** Connects with the settings of this moment and hangs up; what stands in the way of that. Never rejects. */
export async function dialBeside(
  options: NodeConnectionOptions,
  source: NatsSettingsSource,
): Promise<ConnectFailure | undefined> {
  let settings: NatsSettings | undefined;
  try {
    settings = typeof source === 'function' ? source() : source;
    const servers = addressesOf(settings);
    const connection = await connect({ ...options, servers, reconnect: false, timeout: BESIDE_TIMEOUT_MS });
    await connection.close();
    return undefined;
  } catch (thrown) {
    if (settings === undefined) return connectFailureOf(thrown);
    return explain(thrown, { settings });
  }
}

/** A silence may be one of TLS. */
async function explain(
  thrown: unknown,
  { settings, signal }: Pick<Attempt, 'settings' | 'signal'>,
): Promise<ConnectFailure> {
  const failure = connectFailureOf(thrown);
  const isSilent = failure.reason === CLOSED || /timeout|no answer/i.test(failure.reason);
  if (signal?.aborted || !isSilent) return failure;
  const probes = parseServers(settings.servers).map((server) => probeTls(server, settings.tls));
  const found = (await Promise.all(probes)).find((one) => one !== undefined);
  return found === undefined ? failure : failureOfTls(found);
}

function addressesOf({ servers }: NatsSettings): string[] {
  return parseServers(servers).map(({ address }) => address);
}
