import { PostcommitError } from '../errors.ts';
import { type BrokerLink, createStream, lookUpStream, type StreamDefinition } from '../jetstream/index.ts';
import { differencesBetween, type Provisioned } from './drift.ts';

/**
 * Creates the stream, or compares the one that is there with the declaration.
 *
 * @throws PostcommitError `stream-unsuitable` if the server will never create it like this, `broker-unreachable` if it does
 * not answer.
 */
export async function ensureStream(link: BrokerLink, declared: StreamDefinition): Promise<Provisioned> {
  const { name, ...settings } = declared;
  const before = await lookUpStream(link, name);
  const outcome = before.kind === 'missing' ? await createStream(link, declared) : before;
  switch (outcome.kind) {
    case 'found':
      return {
        name,
        created: before.kind === 'missing',
        differences: differencesBetween({ ...settings }, { ...outcome.state }),
      };
    case 'refused':
      throw new PostcommitError(
        'stream-unsuitable',
        outcome.reason,
        'Change its declaration, or the stream that is in its way.',
      );
    default:
      throw new PostcommitError(
        'broker-unreachable',
        outcome.kind === 'missing' ? `the stream '${name}' vanished while it was created` : outcome.reason,
        'Check that JetStream runs, and ask again.',
      );
  }
}
