import { z } from 'zod';
import { type Handler, json } from '../daemon/http-server.ts';
import { decideLetters } from '../dead-letters/decide.ts';
import { messageOf } from '../errors.ts';
import { openSession } from '../postgres/session.ts';
import type { ConsoleContext } from './console.ts';

const decision = z
  .strictObject({
    action: z.enum(['retry', 'discard']),
    ids: z.array(z.int().positive()).min(1).max(1_000).optional(),
    stream: z.string().optional(),
    outcome: z.enum(['refused', 'misrouted', 'moved', 'held', 'failed']).optional(),
    keys: z.array(z.string()).optional(),
    consumer: z.string().optional(),
    /** Everything of the relay's: said, so that an empty filter is no accident. */
    all: z.literal(true).optional(),
  })
  .refine(
    ({ action: _, ...choice }) => Object.values(choice).some((value) => value !== undefined),
    'say which: ids, a filter, or all',
  );

/** The page waits so long for the relay; its request stays. */
const WAIT_MS = 5_000;

/** Retries or discards dead letters. What was asked for, by what way and from where, stays in `postcommit.requests`. */
export function createDeciding({ options }: ConsoleContext): Handler {
  return async ({ body, from, header }) => {
    if (!/^application\/json\b/i.test(header('content-type') ?? ''))
      return json(415, { error: 'a decision is sent as application/json' });
    const parsed = decision.safeParse(parseJson(body));
    if (!parsed.success) return json(400, { error: z.prettifyError(parsed.error) });
    const { action: kind, all: _, ...selection } = parsed.data;
    try {
      const session = await openSession({ url: options.databaseUrl(), name: 'postcommit console' });
      try {
        const answer = await decideLetters(session, {
          kind,
          ...selection,
          via: `console, from ${from}`,
          waitMs: WAIT_MS,
        });
        return json(200, answer);
      } finally {
        await session.close();
      }
    } catch (error) {
      return json(503, { error: `it could not be asked for: ${messageOf(error)}` });
    }
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
