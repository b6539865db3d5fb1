import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { sleep } from '../lifecycle/abort.ts';
import { type TlsFailure, tlsFailureOf } from '../tls-failure.ts';
import { isPem, type ServerAddress, type TlsSettings } from './settings.ts';

/** How long a server may take for each of its answers. */
const LISTEN_MS = 1_000;

/**
 * Why a server with TLS ends every connection, or says nothing; undefined where it does neither, or has no TLS. In TLS 1.3
 * the handshake is over for the client before the server has looked at its certificate, and the NATS client waits in silence
 * for what the server has said then. This shakes hands beside it, and listens.
 */
export async function probeTls(
  server: ServerAddress,
  settings: TlsSettings = {},
): Promise<TlsFailure | undefined> {
  if (settings.first === true) return onConnection(server, (socket) => shakeHands(socket, server, settings));
  const found = await onConnection(server, async (socket) => {
    const greeting = await Promise.race([greetingOf(socket), sleep(LISTEN_MS)]);
    if (greeting === undefined) return SILENT;
    return OFFERS_TLS.test(greeting) ? shakeHands(socket, server, settings) : undefined;
  });
  if (found !== SILENT) return found;
  return onConnection(server, async (socket) => {
    await shakeHands(socket, server, settings);
    return SILENT;
  });
}

const OFFERS_TLS = /"tls_(required|available)":\s*true/;
const SILENT: TlsFailure = {
  kind: 'broken',
  reason: 'the server waits for TLS before it says a word (handshake_first)',
};

async function onConnection(
  { host, port }: ServerAddress,
  look: (socket: Socket) => Promise<TlsFailure | undefined>,
): Promise<TlsFailure | undefined> {
  const socket = connect({ host, port });
  socket.on('error', () => undefined); // Whoever waits for the socket hears it as well.
  try {
    return await look(socket);
  } catch (thrown) {
    return tlsFailureOf(thrown);
  } finally {
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

/** Throws what ends the connection, during the handshake or right after it. */
async function shakeHands(
  socket: Socket,
  { host }: ServerAddress,
  settings: TlsSettings,
): Promise<undefined> {
  const secure = connectTls({
    socket,
    host,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...materialOf(settings),
    // Who the server is has been checked by the client itself.
    checkServerIdentity: () => undefined,
  });
  const ended = new Promise<void>((resolve, reject) => {
    secure.on('error', reject);
    secure.once('close', () => resolve());
  });
  await Promise.race([ended, once(secure, 'secureConnect'), sleep(LISTEN_MS)]);
  if (!secure.authorized) throw new Error('no handshake');
  await Promise.race([ended, sleep(LISTEN_MS)]);
}

function materialOf({ ca, cert, key }: TlsSettings): { ca?: string; cert?: string; key?: string } {
  const given = Object.entries({ ca, cert, key }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [name, textOf(String(value))]));
}

function textOf(textOrPath: string): string {
  return isPem(textOrPath) ? textOrPath : readFileSync(textOrPath, 'utf8');
}
