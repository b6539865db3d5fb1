import { type Handler, json } from '../daemon/http-server.ts';
import { listLetters } from '../dead-letters/listing.ts';
import type { ConsoleContext } from './console.ts';
import { unavailable } from './events-api.ts';

const AT_MOST = 200;

/** Dead letters, oldest first, those that are over with `all`. */
export function lettersHandler({ connections }: ConsoleContext): Handler {
  return async ({ query }) => {
    const text = (name: string) => query.get(name) || undefined;
    const key = text('key');
    const found = await connections.database((session) =>
      listLetters(session, {
        all: query.has('all'),
        stream: text('stream'),
        outcome: text('outcome'),
        consumer: text('consumer'),
        keys: key === undefined ? undefined : [key],
        // One more says that there are more.
        limit: AT_MOST + 1,
      }),
    );
    if (found.kind !== 'seen') return unavailable(found.reason);
    return json(200, { letters: found.value.slice(0, AT_MOST), more: found.value.length > AT_MOST });
  };
}
