import { type Handler, json } from '../daemon/http-server.ts';
import { payloadPartOf } from '../dead-letters/listing.ts';
import { outboxPayload, type PayloadPart } from '../outbox/recent.ts';
import type { ConsoleContext } from './console.ts';
import { unavailable } from './events-api.ts';

const SHOWN_BYTES = 64 * 1024;

/** What an event or a dead letter carries: as text where it is UTF-8, else in hex; its beginning, if it is long. */
export function payloadHandler({ connections }: ConsoleContext): Handler {
  return async ({ query }) => {
    const [kind, number] = query.has('letter')
      ? (['letter', Number(query.get('letter'))] as const)
      : (['position', Number(query.get('position') ?? Number.NaN)] as const);
    if (!Number.isSafeInteger(number)) return json(400, { error: `\`${kind}\` must be a whole number` });
    const found = await connections.database((session) =>
      kind === 'letter'
        ? payloadPartOf(session, { id: number, atMost: SHOWN_BYTES })
        : outboxPayload(session, { position: number, atMost: SHOWN_BYTES }),
    );
    if (found.kind !== 'seen') return unavailable(found.reason);
    if (found.value === null) return json(404, { error: 'the payload is gone: the outbox has let go of it' });
    return json(200, shown(found.value));
  };
}

function shown({ bytes, part }: PayloadPart) {
  const text = textOf(part);
  return {
    bytes,
    shownBytes: part.length,
    form: text === undefined ? 'hex' : 'text',
    content: text ?? part.toString('hex'),
  };
}

/** A character that the end cut in two is left out. */
function textOf(part: Buffer): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(part, { stream: true });
    return /\p{Cc}/u.test(text.replaceAll(/[\t\r\n]/g, '')) ? undefined : text;
  } catch {
    return undefined;
  }
}
