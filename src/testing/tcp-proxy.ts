import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from '../embedded/free-port.ts';
import { createDeferred } from '../lifecycle/deferred.ts';
import { type Conditions, createPipe, type Pipe, UNDISTURBED } from './tcp-pipe.ts';

/** `up` is from the client to the server. */
export type Direction = 'up' | 'down';

/** What a fault applies to. */
export interface Where {
  /** Default: both. */
  readonly direction?: Direction;
  /** The links of this moment, those opened later, or all. The default is the method's own. */
  readonly links?: 'open' | 'later' | 'all';
}

/**
 * Called with bytes as they were received, once, before any of them is handed on. While its promise is pending, that
 * direction of that link waits. What it does to the proxy holds for these bytes already: after `cut()` or
 * `cutAfter(0, …)` they never arrive, after `blackHole()` they arrive late. Bytes that are swallowed are not shown.
 * Packets end anywhere: a message may begin in one call and end in the next. If it throws, the link ends by a reset
 * and the error is an unhandled rejection.
 *
 * @param link 1 for the first connection that the proxy took, and so on.
 */
export type Tap = (link: number, direction: Direction, bytes: Buffer) => void | Promise<void>;

/** The server behind a proxy, and who listens in on the way there. */
export interface ProxyTarget {
  readonly port: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Sees what passes, and may hold it. Default: nobody. */
  readonly tap?: Tap;
}

export interface CutAfter {
  /** Resolves when the first link was ended. Never, if none comes so far. */
  readonly cut: Promise<void>;
}

/**
 * A hop on the way to a server, on a loopback port of its own, that does to connections what networks do to them. A
 * connection of a client and the one to the server that belongs to it are a link. Methods can be combined: each
 * changes one thing and leaves the others, until `heal()`. Disposing of it resets all links and frees the port.
 */
export interface TcpProxy extends AsyncDisposable {
  /** On 127.0.0.1. */
  readonly port: number;
  /** The same URL, leading through here. */
  through(url: string): string;
  /** How many links are open at this moment. */
  readonly links: number;
  /** Bytes handed over so far, over all links that there have been. */
  readonly passed: Readonly<Record<Direction, number>>;

  /** Ends the links of this moment: by a reset (default), or as an orderly end of both sides. */
  cut(how?: 'reset' | 'close'): void;
  /**
   * Ends each link after exactly so many more bytes in that direction; they still arrive. Counts from this call on
   * links that are open (default), from the first byte on later ones. `cut` resolves at the first link ended like this.
   */
  cutAfter(bytes: number, where: Where & { readonly direction: Direction }): CutAfter;
  /** Refuses new connections, as a port does where nobody listens. Open links stay. */
  refuse(): void;
  /** Takes new connections again, on the same port. */
  accept(): Promise<void>;
  /**
   * A partition: nothing passes, not even the end of a connection, and nobody learns of it. Default: the links that are
   * open, so that a new connection works. What was held passes late after `heal()`.
   */
  blackHole(where?: Where): void;
  /** Reads what comes and throws it away. Default: all links. `heal()` cuts a link that has lost bytes. */
  swallow(where?: Where): void;
  /** Of the links that are open, one end goes away as by a crash, and the other is never told. */
  halfOpen(gone: 'client' | 'server'): void;
  /** Bytes are this many milliseconds under way, in each direction concerned. Default: all links. */
  delay(ms: number, where?: Where): void;
  /** A slow line, for each link and direction of its own. Default: all links. */
  throttle(bytesPerSecond: number, where?: Where): void;
  /**
   * Writes at most so many bytes at a time, each as a packet of its own as far as the kernel goes along. Default: all
   * links.
   */
  split(chunkBytes: number, where?: Where): void;
  /** Undoes everything but `cut` and `refuse`, for open links and later ones. A half-open link ends by a reset. */
  heal(): void;
}

interface Link {
  readonly near: Socket;
  readonly far: Socket;
  readonly pipes: Readonly<Record<Direction, Pipe>>;
  end(how: 'reset' | 'close'): void;
}

const DIRECTIONS = ['up', 'down'] as const;
const PORT_ATTEMPTS = 5;

/** Listens at once; the server is dialled for each connection, and may come later. Fails if no loopback port is free. */
export async function startTcpProxy(target: ProxyTarget): Promise<TcpProxy> {
  const links = new Set<Link>();
  const passed = { up: 0, down: 0 };
  let later = { up: UNDISTURBED, down: UNDISTURBED };
  let onOpen: ((link: Link) => void)[] = [];

  let opened = 0;

  const onConnection = (near: Socket) => {
    const number = ++opened;
    const link = createLink(near, {
      target,
      number,
      conditions: later,
      passed,
      onEnd: () => links.delete(link),
    });
    links.add(link);
    for (const listener of onOpen) listener(link);
  };
  let server = await listenSomewhere(onConnection);
  const { port } = server;

  const impose = (changes: Partial<Conditions>, { direction, links: which = 'all' }: Where = {}) => {
    for (const each of direction === undefined ? DIRECTIONS : [direction]) {
      if (which !== 'later') for (const link of links) link.pipes[each].impose(changes);
      if (which !== 'open') later = { ...later, [each]: { ...later[each], ...changes } };
    }
  };
  return {
    port,
    through(url) {
      const rewritten = new URL(url);
      rewritten.hostname = '127.0.0.1';
      rewritten.port = String(port);
      return rewritten.href;
    },
    get links() {
      return links.size;
    },
    passed,
    cut(how = 'reset') {
      for (const link of [...links]) link.end(how);
    },
    cutAfter(bytes, { direction, links: which = 'open' }) {
      const { promise, resolve } = createDeferred<void>();
      const limit = (link: Link) => limitLink(link, { bytes, direction, onCut: () => resolve() });
      if (which !== 'later') for (const link of [...links]) limit(link);
      if (which !== 'open') onOpen.push(limit);
      return { cut: promise };
    },
    refuse: () => void server.listener.close(),
    async accept() {
      if (!server.listener.listening) server = await listenOn(port, onConnection);
    },
    blackHole: (where = {}) => impose({ passage: 'hold' }, { links: 'open', ...where }),
    swallow: (where) => impose({ passage: 'swallow' }, where),
    halfOpen(gone) {
      for (const link of links) forget(link, gone);
    },
    delay: (delayMs, where) => impose({ delayMs }, where),
    throttle: (bytesPerSecond, where) => impose({ bytesPerSecond }, where),
    split: (chunkBytes, where) => impose({ chunkBytes }, where),
    heal() {
      onOpen = [];
      for (const link of [...links]) {
        if (isBeyondHealing(link)) link.end('reset');
        for (const each of DIRECTIONS) link.pipes[each].limit(Number.POSITIVE_INFINITY, () => undefined);
      }
      impose(UNDISTURBED);
    },
    async [Symbol.asyncDispose]() {
      for (const link of [...links]) link.end('reset');
      if (server.listener.listening) server.listener.close();
    },
  };
}

interface LinkOptions {
  readonly target: ProxyTarget;
  readonly number: number;
  readonly conditions: Readonly<Record<Direction, Conditions>>;
  readonly passed: Record<Direction, number>;
  readonly onEnd: () => void;
}

function createLink(near: Socket, { target, number, conditions, passed, onEnd }: LinkOptions): Link {
  const { port, host = '127.0.0.1', tap } = target;
  const far = connect({ allowHalfOpen: true, noDelay: true, port, host });
  near.setNoDelay(true);
  const sockets = [near, far];
  const tapFor = (direction: Direction, tap: Tap) => async (bytes: Buffer) => {
    try {
      await tap(number, direction, bytes);
    } catch (thrown) {
      end('reset');
      throw thrown;
    }
  };
  const pipe = (direction: Direction, from: Socket, to: Socket) =>
    createPipe({
      from,
      to,
      conditions: conditions[direction],
      tap: tap && tapFor(direction, tap),
      onPassed: (bytes) => {
        passed[direction] += bytes;
      },
    });
  const pipes = { up: pipe('up', near, far), down: pipe('down', far, near) };
  const end = (how: 'reset' | 'close') => {
    for (const direction of DIRECTIONS) pipes[direction].close();
    for (const socket of sockets) {
      if (socket.destroyed) continue;
      if (how === 'reset') socket.resetAndDestroy();
      else socket.destroySoon();
    }
    onEnd();
  };
  // A reset of one side, or a server that is not there, is a reset of the other, unless news do not get through.
  near.on('error', () => {
    if (pipes.up.isOpen) end('reset');
  });
  far.on('error', () => {
    if (pipes.down.isOpen) end('reset');
  });
  for (const socket of sockets)
    socket.on('close', () => {
      if (sockets.every((each) => each.destroyed)) end('close');
    });
  return { near, far, pipes, end };
}

function limitLink(
  link: Link,
  { bytes, direction, onCut }: { bytes: number; direction: Direction; onCut: () => void },
): void {
  link.pipes[direction].limit(bytes, () => {
    // By a reset the receiver could lose what it has not read yet.
    link.end('close');
    onCut();
  });
}

/** What the other end still sends is thrown away; it waits for an answer for ever. */
function forget({ near, far, pipes }: Link, gone: 'client' | 'server'): void {
  for (const direction of DIRECTIONS) pipes[direction].impose({ passage: 'swallow' });
  const socket = gone === 'client' ? near : far;
  socket.destroy();
}

function isBeyondHealing({ near, far, pipes }: Link): boolean {
  return near.destroyed || far.destroyed || DIRECTIONS.some((direction) => pipes[direction].hasHoles);
}

interface Listening {
  readonly listener: Server;
  readonly port: number;
}

async function listenSomewhere(onConnection: (socket: Socket) => void): Promise<Listening> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await listenOn(await freePort(), onConnection);
    } catch (thrown) {
      if (attempt === PORT_ATTEMPTS) throw thrown;
    }
  }
}

async function listenOn(port: number, onConnection: (socket: Socket) => void): Promise<Listening> {
  const listener = createServer({ allowHalfOpen: true }, onConnection);
  listener.listen(port, '127.0.0.1');
  await once(listener, 'listening');
  return { listener, port };
}
