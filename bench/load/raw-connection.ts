import { connect } from 'node:net';

/**
 * A connection that runs one prepared statement again and again, without values and rows. Written on the bare protocol:
 * a client library would take more CPU for each commit than the trigger that is to be measured.
 */
export interface RawConnection {
  /** Runs it, as a transaction of its own. One at a time; `onCommitted` may run the next. */
  run(onCommitted: () => void): void;
  close(): void;
}

const PROTOCOL_VERSION = 196_608;
const HEADER_BYTES = 5;
const READY = 0x5a; // Z
const ERROR = 0x45; // E
const RUN = Buffer.concat([
  message('B', '\0statement\0\0\0\0\0\0\0'),
  message('E', '\0\0\0\0\0'),
  message('S', ''),
]);

/** `url`: of a server that trusts whoever comes from this host. Fails for ever with the first error of the server. */
export async function openRawConnection(url: string, statement: string): Promise<RawConnection> {
  const { hostname, port, username, pathname } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  let onReady: () => void = () => undefined;
  let closed = false;
  const receive = createReceiver(() => onReady());
  socket.on('data', receive);
  socket.on('error', (error) => {
    if (!closed) throw error;
  });
  const ready = async (...messages: Buffer[]) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    onReady = resolve;
    socket.write(Buffer.concat(messages));
    await promise;
  };
  const greeting = Buffer.from(`....user\0${username}\0database\0${pathname.slice(1)}\0\0`);
  greeting.writeInt32BE(PROTOCOL_VERSION);
  await ready(withLength(greeting));
  await ready(message('P', `statement\0${statement}\0\0\0`), message('S', ''));
  return {
    run(onCommitted) {
      onReady = onCommitted;
      socket.write(RUN);
    },
    close() {
      closed = true;
      socket.end(message('X', ''));
    },
  };
}

/** Takes the server's bytes apart as far as needed: each ReadyForQuery is told. */
function createReceiver(onReady: () => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    let ready = 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const end = at + 1 + bytes.readInt32BE(at + 1);
      if (end > bytes.length) break;
      if (bytes[at] === ERROR)
        throw new Error(`PostgreSQL: ${textOf(bytes.subarray(at + HEADER_BYTES, end))}`);
      if (bytes[at] === READY) ready++;
      at = end;
    }
    rest = bytes.subarray(at);
    for (; ready > 0; ready--) onReady();
  };
}

/** Fields of an error: a letter and a text each. */
function textOf(fields: Buffer): string {
  const message = fields
    .toString('utf8')
    .split('\0')
    .find((field) => field.startsWith('M'));
  return message?.slice(1) ?? 'unknown error';
}

function message(type: string, body: string): Buffer {
  return Buffer.concat([Buffer.from(type), withLength(Buffer.from(body))]);
}

function withLength(body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([length, body]);
}
