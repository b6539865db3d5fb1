import { createServer, type Socket } from 'node:net';

/** A message as the fake's stream holds it. */
export interface FakeMessage {
  readonly subject: string;
  /** The `NATS/1.0` block. */
  readonly headers: string;
  readonly payload: Buffer;
}

/** What the fake is about to answer. */
export interface Question {
  readonly kind: 'publish' | 'info' | 'get' | 'create' | 'unknown';
  /** What a server would answer. For a publish: if the message is stored. */
  readonly honest: object;
  /** The sequence that a published message expects to get, or that is asked for. */
  readonly sequence: number;
}

/** What it does instead. */
export interface Mischief {
  /** A publish is stored although this is what is answered. */
  readonly stores?: boolean;
  /** Payloads of the answers; none for silence. Default: the honest one. */
  readonly answers?: readonly (string | Buffer)[];
  /** `NATS/1.0` status of the answers. */
  readonly status?: string;
  /** Bytes that go down the socket, outside of any message. */
  readonly raw?: string | Buffer;
  readonly closes?: boolean;
  readonly delayMs?: number;
}

export interface FakeNatsOptions {
  readonly stream: string;
  readonly subjects: readonly string[];
  /** The greeting; a whole line. Default: what a server says. */
  readonly greeting?: string | Buffer;
}

/** Speaks NATS and JetStream with one stream, for one client at a time, as truthfully as it is told to. */
export interface FakeNats extends AsyncDisposable {
  readonly url: string;
  readonly stored: readonly FakeMessage[];
  /** Publishes and requests so far. */
  readonly asked: number;
  /** Undefined makes it honest. */
  mischief: ((question: Question) => Mischief | undefined) | undefined;
  /** To everyone connected. */
  send(raw: string | Buffer): void;
}

const CREATED = '2026-11-24T12:00:00.123456789Z';

export const INFO = {
  server_id: 'FAKE',
  server_name: 'fake',
  version: '2.10.27',
  proto: 1,
  host: '127.0.0.1',
  port: 4222,
  headers: true,
  max_payload: 1_048_576,
  jetstream: true,
  client_id: 1,
};

export function greetingOf(info: object): string {
  return `INFO ${JSON.stringify(info)}\r\n`;
}

export async function startFakeNats(options: FakeNatsOptions): Promise<FakeNats> {
  const sockets = new Set<Socket>();
  const stream = createFakeStream(options);
  let asked = 0;
  const fake = {
    mischief: undefined as FakeNats['mischief'],
    get asked() {
      return asked;
    },
    stored: stream.messages,
    send(raw: string | Buffer) {
      for (const socket of sockets) socket.write(raw);
    },
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.setNoDelay(true);
    socket.write(options.greeting ?? greetingOf(INFO));
    serve(socket, (publish, reply) => {
      asked++;
      const question = stream.ask(publish);
      const mischief = fake.mischief?.(question) ?? {};
      const stores = question.kind === 'publish' && mischief.stores !== false;
      const honest = stores ? stream.store(publish) : question.honest;
      act(socket, { ...mischief, answers: mischief.answers ?? [JSON.stringify(honest)] }, reply);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return Object.assign(fake, {
    url: `nats://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  });
}

function act(socket: Socket, mischief: Mischief, reply: (answer: Buffer, status?: string) => void): void {
  const { answers = [], status, raw, closes, delayMs = 0 } = mischief;
  const now = () => {
    if (raw !== undefined && socket.writable) socket.write(raw);
    for (const answer of answers) reply(Buffer.from(answer), status);
    if (closes) socket.destroySoon();
  };
  if (delayMs > 0) setTimeout(now, delayMs);
  else now();
}

interface Publish {
  readonly subject: string;
  readonly headers: string;
  readonly payload: Buffer;
}

type OnPublish = (publish: Publish, reply: (answer: Buffer, status?: string) => void) => void;

/** The server's side of the protocol. */
function serve(socket: Socket, onPublish: OnPublish): void {
  const subscriptions = new Map<string, string>();
  const deliver = (subject: string) => (answer: Buffer, status?: string) => {
    const isTheirs = (pattern: string) => pattern.endsWith('*') && subject.startsWith(pattern.slice(0, -1));
    for (const [sid, pattern] of subscriptions)
      if (socket.writable && (pattern === subject || isTheirs(pattern)))
        socket.write(encodeDelivery({ subject, sid, answer, status }));
  };
  const obey = (verb: string, words: readonly string[]): void => {
    if (verb === 'PING') socket.write('PONG\r\n');
    else if (verb === 'SUB') subscriptions.set(String(words.at(-1)), String(words[1]));
    else if (verb === 'UNSUB') subscriptions.delete(String(words[1]));
  };
  let buffer = Buffer.alloc(0);
  /** The bytes of the next command with its payload, 0 while it is incomplete. */
  const take = (): number => {
    const end = buffer.indexOf('\r\n');
    if (end < 0) return 0;
    const words = buffer.subarray(0, end).toString().split(' ');
    const verb = String(words[0]).toUpperCase();
    if (verb !== 'PUB' && verb !== 'HPUB') {
      obey(verb, words);
      return end + 2;
    }
    const whole = end + 2 + Number(words.at(-1)) + 2;
    if (buffer.length < whole) return 0;
    const body = buffer.subarray(end + 2, whole - 2);
    onPublish(decodePublish(verb, words, body), deliver(replyOf(verb, words)));
    return whole;
  };
  socket.on('data', (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    for (let taken = take(); taken > 0; taken = take()) buffer = buffer.subarray(taken);
  });
}

function replyOf(verb: string, words: readonly string[]): string {
  return words.length === (verb === 'HPUB' ? 5 : 4) ? String(words[2]) : '';
}

function decodePublish(verb: string, words: readonly string[], body: Buffer): Publish {
  const headersSize = verb === 'HPUB' ? Number(words.at(-2)) : 0;
  return {
    subject: String(words[1]),
    headers: body.subarray(0, headersSize).toString(),
    payload: Buffer.from(body.subarray(headersSize)),
  };
}

interface Delivery {
  readonly subject: string;
  readonly sid: string;
  readonly answer: Buffer;
  readonly status: string | undefined;
}

function encodeDelivery({ subject, sid, answer, status }: Delivery): Buffer {
  const block = status === undefined ? '' : `NATS/1.0 ${status}\r\n\r\n`;
  const size = block.length + answer.length;
  const line =
    status === undefined
      ? `MSG ${subject} ${sid} ${size}\r\n`
      : `HMSG ${subject} ${sid} ${block.length} ${size}\r\n`;
  return Buffer.concat([Buffer.from(line + block), answer, Buffer.from('\r\n')]);
}

/** A stream of `limits` retention without limits. */
function createFakeStream({ stream, subjects }: FakeNatsOptions) {
  const messages: FakeMessage[] = [];
  const ids = new Map<string, number>();
  const info = () => ({
    type: 'io.nats.jetstream.api.v1.stream_info_response',
    created: CREATED,
    config: {
      name: stream,
      subjects,
      retention: 'limits',
      storage: 'file',
      num_replicas: 1,
      max_msgs: -1,
      max_bytes: -1,
      max_msg_size: -1,
      duplicate_window: 30_000_000_000,
      discard: 'new',
    },
    state: {
      messages: messages.length,
      bytes: 0,
      first_seq: messages.length === 0 ? 0 : 1,
      last_seq: messages.length,
    },
  });
  const headerOf = (headers: string, name: string) => new RegExp(`\r\n${name}: (.*)\r\n`).exec(headers)?.[1];
  const judge = ({ headers }: Publish): object => {
    const expected = headerOf(headers, 'Nats-Expected-Last-Sequence');
    const known = ids.get(headerOf(headers, 'Nats-Msg-Id') ?? '');
    if (known !== undefined) return { stream, seq: known, duplicate: true };
    if (expected !== undefined && Number(expected) !== messages.length)
      return {
        error: { code: 400, err_code: 10_071, description: `wrong last sequence: ${messages.length}` },
        stream,
        seq: 0,
      };
    return { stream, seq: messages.length + 1 };
  };
  const read = (payload: Buffer) => {
    const { seq } = JSON.parse(payload.toString()) as { seq: number };
    const found = messages[seq - 1];
    if (found === undefined)
      return { error: { code: 404, err_code: 10_037, description: 'no message found' } };
    const { subject, headers } = found;
    return {
      message: {
        subject,
        seq,
        hdrs: Buffer.from(headers).toString('base64'),
        data: found.payload.toString('base64'),
        time: CREATED,
      },
    };
  };
  return {
    messages,
    ask(publish: Publish): Question {
      const { subject, payload, headers } = publish;
      const expected = Number(headerOf(headers, 'Nats-Expected-Last-Sequence') ?? messages.length);
      if (subject === `$JS.API.STREAM.INFO.${stream}`)
        return { kind: 'info', honest: info(), sequence: messages.length };
      if (subject === `$JS.API.STREAM.CREATE.${stream}`)
        return { kind: 'create', honest: info(), sequence: messages.length };
      if (subject === `$JS.API.STREAM.MSG.GET.${stream}`)
        return {
          kind: 'get',
          honest: read(payload),
          sequence: (JSON.parse(payload.toString()) as { seq: number }).seq,
        };
      if (subject.startsWith('$JS.'))
        return { kind: 'unknown', honest: { error: { code: 404, err_code: 0 } }, sequence: 0 };
      return { kind: 'publish', honest: judge(publish), sequence: expected + 1 };
    },
    /** Stores a message if a server would, and says what it would say. */
    store(publish: Publish): object {
      const verdict = judge(publish) as { error?: unknown; duplicate?: boolean };
      if (verdict.error !== undefined || verdict.duplicate === true) return verdict;
      messages.push(publish);
      const id = headerOf(publish.headers, 'Nats-Msg-Id');
      if (id !== undefined) ids.set(id, messages.length);
      return verdict;
    },
  };
}
