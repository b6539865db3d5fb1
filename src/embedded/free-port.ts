import { createServer } from 'node:net';

// Below every system's range for outgoing connections, so that nobody takes the port while a server restarts.
const FIRST_PORT = 15_000;
const LAST_PORT = 32_000;

/** A TCP port nobody listens on at this moment on 127.0.0.1. Whoever uses it must still expect a collision. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
