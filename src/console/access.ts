import { createHash, timingSafeEqual } from 'node:crypto';
import { type Answer, type Asked, json } from '../daemon/http-server.ts';

/** Who may look, and who may do more. */
export interface Access {
  /** Asked for each request, so that a rotated token counts at once. Null: nobody may do more than look. */
  readonly token: () => string | null;
  /** Names that it answers to, besides IP addresses and localhost. */
  readonly hosts: readonly string[];
}

/**
 * Undefined if it may look. A page of another site that resolves its own name to this address would otherwise read all of this
 * through the browser of somebody who can reach it (DNS rebinding).
 */
export function refuseLook({ hosts }: Access, { header }: Asked): Answer | undefined {
  const host = (header('host') ?? '').toLowerCase();
  const name = host.replace(/:\d{1,5}$/, '');
  if (isAddress(name) || hosts.includes(name)) return undefined;
  return json(421, {
    error: `the console does not answer to the name '${host.slice(0, 100)}'`,
    hint: 'Use an IP address or localhost, or list the name in POSTCOMMIT_CONSOLE.',
  });
}

/**
 * Undefined if it may also change things and see payloads. The token comes in a header that a form, a link or an image of
 * another site cannot set (CSRF); there is no cookie that a browser would add by itself.
 */
export function refuseMore(access: Access, asked: Asked): Answer | undefined {
  const refused = refuseLook(access, asked);
  if (refused !== undefined) return refused;
  const token = access.token();
  if (token === null)
    return json(403, {
      error: 'this console is read-only: no token is set',
      hint: 'Set POSTCOMMIT_CONSOLE_TOKEN (or POSTCOMMIT_CONSOLE_TOKEN_FILE) and restart.',
    });
  if (bearsToken(asked, token)) return undefined;
  return {
    ...json(401, { error: 'the token is missing or wrong', hint: 'Unlock the console with the token.' }),
    headers: { 'WWW-Authenticate': 'Bearer realm="postcommit"' },
  };
}

export function bearsToken({ header }: Asked, token: string): boolean {
  const [, given = ''] = /^bearer (.+)$/i.exec(header('authorization') ?? '') ?? [];
  return timingSafeEqual(digest(given), digest(token));
}

/** Of one length, whatever was given. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Nobody else can make a name out of one. */
function isAddress(name: string): boolean {
  return name === 'localhost' || /^\d{1,3}(\.\d{1,3}){3}$/.test(name) || /^\[[\da-f:.]+\]$/.test(name);
}
