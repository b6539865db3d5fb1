/** The process behind `commit-load.ts`. Ends when its parent disconnects. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Answer, ClosedLoop, Committed, OpenLoop } from './commit-load.ts';
import type { Schedule } from './pacer.ts';
import { openRawConnection, type RawConnection } from './raw-connection.ts';

const [url = '', statement = '', connectionsText = '1'] = process.argv.slice(2);
/** Time for the pacer to get its schedule before the first moment in it. */
const LEAD_MS = 20;

const connections = await Promise.all(
  Array.from({ length: Number(connectionsText) }, (_, i) =>
    openRawConnection(url, statement.replaceAll('{writer}', String(i))),
  ),
);
const pacer = new Worker(new URL('./pacer.ts', import.meta.url));
await once(pacer, 'online');

async function closedLoop({ clients, warmUpMs, forMs }: ClosedLoop): Promise<Committed> {
  const fromMs = performance.now() + warmUpMs;
  const toMs = fromMs + forMs;
  let commits = 0;
  const client = (connection: RawConnection) =>
    new Promise<void>((resolve) => {
      const next = () => {
        const nowMs = performance.now();
        if (nowMs >= fromMs && nowMs < toMs) commits++;
        if (nowMs < toMs) connection.run(next);
        else resolve();
      };
      connection.run(next);
    });
  await Promise.all(connections.slice(0, clients).map(client));
  return { commits, perSecond: (commits / forMs) * 1_000, latenciesMs: [] };
}

async function openLoop({ clients, perSecond, forMs }: OpenLoop): Promise<Committed> {
  const offsetsMs = poissonOffsets(perSecond, forMs);
  const startMs = performance.now() + LEAD_MS;
  const startNs = process.hrtime.bigint() + BigInt(LEAD_MS * 1e6);
  const free = connections.slice(0, clients);
  const latenciesMs: number[] = [];
  let due = 0;
  let begun = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const begin = (connection: RawConnection) => {
    const intendedMs = startMs + (offsetsMs[begun++] ?? 0);
    connection.run(() => {
      latenciesMs.push(performance.now() - intendedMs);
      if (begun < due) begin(connection);
      else free.push(connection);
      if (latenciesMs.length === offsetsMs.length) resolve();
    });
  };
  const onDue = () => {
    due++;
    const connection = begun < due ? free.shift() : undefined;
    if (connection !== undefined) begin(connection);
  };
  pacer.on('message', onDue);
  pacer.postMessage({ startNs, offsetsMs } satisfies Schedule);
  await promise;
  pacer.off('message', onDue);
  const seconds = (performance.now() - startMs) / 1_000;
  return { commits: latenciesMs.length, perSecond: latenciesMs.length / seconds, latenciesMs };
}

/** The moments at which a Poisson process of this rate fires, always the same ones. */
function poissonOffsets(perSecond: number, forMs: number): Float64Array {
  const count = Math.round((perSecond * forMs) / 1_000);
  const offsets = new Float64Array(count);
  let state = 1;
  let atMs = 0;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    atMs -= (Math.log((state + 1) / 2 ** 32) * 1_000) / perSecond;
    offsets[i] = atMs;
  }
  return offsets;
}

const answer = (message: Answer) => process.send?.(message);

process.on('message', (loop: ClosedLoop | OpenLoop) => {
  const running = loop.kind === 'closed' ? closedLoop(loop) : openLoop(loop);
  running.then(answer, (error: unknown) => {
    throw error;
  });
});
process.once('disconnect', () => {
  for (const connection of connections) connection.close();
  void pacer.terminate();
});
answer({ ready: true });
