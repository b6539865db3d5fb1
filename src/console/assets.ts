import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Answer, type Handler, type Routes, text } from '../daemon/http-server.ts';

/** The page as it lies in the package: no build step, and nothing from elsewhere. */
const FOLDER = fileURLToPath(new URL('page/', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Everything comes from here, nothing is inline, nobody frames it, and no form goes anywhere. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ');

const MISSING = `The page of the console is not part of this installation (${FOLDER}): npm run build puts it there.\n`;

/** The page's files by path, read once. */
export function pageRoutes(): Routes {
  const routes: Record<string, Handler> = {};
  // An installation without its page is no reason for a relay not to relay.
  if (!existsSync(FOLDER)) return { '/': () => text(503, MISSING) };
  for (const name of readdirSync(FOLDER).sort()) {
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    const path = name === 'index.html' ? '/' : `/console/${name}`;
    routes[path] = assetHandler(readFileSync(join(FOLDER, name), 'utf8'), type);
  }
  return routes;
}

function assetHandler(body: string, contentType: string): Handler {
  const tag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 16)}"`;
  const headers = {
    'Content-Security-Policy': CONTENT_SECURITY_POLICY,
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cache-Control': 'no-cache',
    ETag: tag,
  };
  const whole: Answer = { status: 200, contentType, body, headers };
  const same: Answer = { status: 304, contentType, body: '', headers };
  return ({ header }) => (header('if-none-match') === tag ? same : whole);
}
