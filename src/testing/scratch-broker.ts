import { startNats } from '../embedded/index.ts';
import { PostcommitError } from '../errors.ts';
import { type BrokerLink, connectBroker, deleteStream, lookUpStream } from '../jetstream/index.ts';
import { silentLogger } from '../telemetry/logger.ts';

/** Where the streams of a scratch are. */
export interface ScratchBroker extends AsyncDisposable {
  readonly url: string;
}

/** A server of its own: it starts within some tens of milliseconds, and nobody else has streams or subjects there. */
export async function startBroker(): Promise<ScratchBroker> {
  return startNats();
}

/**
 * A server that is there already. The streams must not be: they are deleted at the end.
 *
 * @throws PostcommitError `stream-unsuitable`, or if the server cannot be reached.
 */
export async function useBroker(url: string, streams: readonly string[]): Promise<ScratchBroker> {
  await withLink(url, async (link) => {
    for (const stream of streams) await requireMissing(link, stream);
  });
  return {
    url,
    [Symbol.asyncDispose]: () =>
      withLink(url, async (link) => {
        for (const stream of streams) await remove(link, stream);
      }),
  };
}

async function withLink(url: string, work: (link: BrokerLink) => Promise<void>): Promise<void> {
  await using link = await connectBroker({ servers: url.split(',') }, { logger: silentLogger() });
  await work(link);
}

async function requireMissing(link: BrokerLink, stream: string): Promise<void> {
  const found = await lookUpStream(link, stream);
  if (found.kind === 'missing') return;
  throw new PostcommitError(
    'stream-unsuitable',
    found.kind === 'found'
      ? `the stream '${stream}' exists on the NATS server given, and a scratch deletes its streams at the end`
      : `the NATS server given cannot be used: ${found.reason}`,
    'Name another stream in `lanes`, use a NATS server (or account) that is only for tests, or leave `natsUrl` out to have one started.',
  );
}

async function remove(link: BrokerLink, stream: string): Promise<void> {
  const reason = await deleteStream(link, stream);
  if (reason === undefined) return;
  throw new PostcommitError(
    'stream-unsuitable',
    `the stream '${stream}' of a test may be left on the NATS server given: ${reason}`,
    `Delete it: nats stream rm ${stream}`,
  );
}
