import { once } from 'node:events';
import { extname } from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { connectBroker, type NatsSettings } from '../jetstream/index.ts';
import { silentLogger } from '../telemetry/logger.ts';

// In a thread of its own: a relay is through with a thousand events in some 20 ms, and a thread that also does the
// work of all clinics would notice too late.

/** Whom to kill, and when. */
export interface Warrant {
  readonly subject: string;
  /** Patients whose events count, both included. */
  readonly firstPatient: number;
  readonly lastPatient: number;
  /** Strike when so many of their events have been seen on their way. */
  readonly killAfter: number;
  readonly pids: readonly number[];
}

export interface Execution {
  readonly seen: number;
  /** On the clock of the caller's `performance.now()`. */
  readonly atMs: number;
}

export interface Executioner {
  /** Resolves when it watches. */
  arm(warrant: Warrant): Promise<{ readonly done: Promise<Execution> }>;
  close(): Promise<unknown>;
}

type Report =
  | { readonly kind: 'watching' }
  | { readonly kind: 'done'; readonly seen: number; readonly atEpochMs: number };

export function startExecutioner(nats: NatsSettings): Executioner {
  const file = new URL(`./executioner${extname(import.meta.url)}`, import.meta.url);
  const worker = new Worker(file, { workerData: nats });
  const died = new Promise<never>((_resolve, reject) => worker.once('error', reject));
  died.catch(() => undefined);
  const report = async (kind: Report['kind']) => {
    for (;;) {
      const [received] = (await Promise.race([once(worker, 'message'), died])) as [Report];
      if (received.kind === kind) return received;
    }
  };
  return {
    async arm(warrant) {
      const watching = report('watching');
      const done = report('done').then((received) => {
        if (received.kind !== 'done') throw new Error('no report of an execution');
        return { seen: received.seen, atMs: received.atEpochMs - performance.timeOrigin };
      });
      done.catch(() => undefined);
      worker.postMessage(warrant);
      await watching;
      return { done };
    },
    close: () => worker.terminate(),
  };
}

if (!isMainThread && parentPort !== null) {
  const port = parentPort;
  const { connection } = await connectBroker(workerData as NatsSettings, { logger: silentLogger() });
  const tell = (report: Report) => port.postMessage(report);
  port.on('message', async (warrant: Warrant) => {
    let seen = 0;
    const subscription = connection.subscribe(warrant.subject, {
      callback: (error, { subject }) => {
        if (error !== null || !isCounted(subject, warrant)) return;
        seen++;
        if (seen !== warrant.killAfter) return;
        for (const pid of warrant.pids) process.kill(pid, 'SIGKILL');
        subscription.unsubscribe();
        tell({ kind: 'done', seen, atEpochMs: performance.timeOrigin + performance.now() });
      },
    });
    await connection.flush();
    tell({ kind: 'watching' });
  });
}

function isCounted(subject: string, { firstPatient, lastPatient }: Warrant): boolean {
  const patient = Number(subject.slice(subject.lastIndexOf('.') + 1));
  return patient >= firstPatient && patient <= lastPatient;
}
