import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { sleep } from '../lifecycle/abort.ts';
import { type TlsFailure, tlsFailureOf } from '../tls-failure.ts';
import { isPem, type ServerAddress, type TlsSettings } from './settings.ts';

/** How long a server may take to say that it does not take the client's certificate. */
const LISTEN_MS = 1_000;

/**
 * Why a server with TLS ends every connection; undefined where it does not, or has no TLS. In TLS 1.3 the handshake is over
 * for the client before the server has looked at its certificate, and the NATS client waits in silence for what the server
 * has said then. This shakes hands beside it, and listens.
 */
export async function probeTls(
  { host, port }: ServerAddress,
  { settings = {}, withinMs }: { readonly settings?: TlsSettings | undefined; readonly withinMs: number },
): Promise<TlsFailure | undefined> {
  const socket = connect({ host, port });
  socket.on('error', () => undefined); // Whoever listens hears it as well.
  const timer = setTimeout(() => socket.destroy(), withinMs + LISTEN_MS);
  try {
    if (settings.first !== true && !/"tls_(required|available)":\s*true/.test(await greetingOf(socket)))
      return undefined;
    const secure = connectTls({
      socket,
      host,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...materialOf(settings),
      // Who the server is has been checked by the client itself.
      checkServerIdentity: () => undefined,
    });
    await Promise.race([endOf(secure), once(secure, 'secureConnect').then(() => sleep(LISTEN_MS))]);
    return undefined;
  } catch (thrown) {
    return tlsFailureOf(thrown);
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

/** The first line, which comes before TLS. */
function greetingOf(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const onData = (chunk: Buffer) => {
      text += chunk;
      if (!text.includes('\r\n')) return;
      socket.off('data', onData);
      resolve(text);
    };
    socket.on('data', onData);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  });
}

function endOf(socket: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.once('close', () => resolve());
  });
}

function materialOf({ ca, cert, key }: TlsSettings): { ca?: string; cert?: string; key?: string } {
  const given = Object.entries({ ca, cert, key }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [name, textOf(String(value))]));
}

function textOf(textOrPath: string): string {
  return isPem(textOrPath) ? textOrPath : readFileSync(textOrPath, 'utf8');
}
