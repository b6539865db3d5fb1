/** The process behind `load/consumer-process.ts`. Consumes on command, until its parent lets go of it. */

import pg from 'pg';
import { monotonicMicros } from '../load/clock.ts';
import type { Command, ConsumerTask, ConsumerVariant, Handled, Reply } from '../load/consumer-process.ts';
import { consumeOwn } from '../load/own-consumers.ts';
import { commitAlone } from './bare-commits.ts';
import { consumeStock } from './stock-consumer.ts';

/** What each variant writes, in a transaction of its own or with others. */
export interface Effect {
  readonly id: string;
  readonly key: string | null;
  readonly sequence: number;
}

export interface ConsumerRun {
  readonly task: ConsumerTask;
  readonly pool: pg.Pool;
  /** To be called first in the handler. */
  readonly onEvent: (payload: Uint8Array) => void;
}

export type StartConsuming = (run: ConsumerRun) => Promise<{ stop(): Promise<void> }>;

const variant = process.argv[2] as ConsumerVariant;
let running: { stop(): Promise<void> } | undefined;
let handled: Handled[] = [];

const consumeIt: StartConsuming =
  variant === 'floor' ? commitAlone : variant === 'stock' ? consumeStock : consumeOwn(variant);

async function start(task: ConsumerTask): Promise<void> {
  const pool = new pg.Pool({ connectionString: task.url });
  pool.on('error', () => undefined);
  handled = [];
  // Only who waits for single events wants to know of each.
  const noteAll = task.from === 'new';
  let first = true;
  const consumer = await consumeIt({
    task,
    pool,
    onEvent(payload) {
      if (first) reply({ kind: 'first' });
      first = false;
      if (noteAll) handled.push([JSON.parse(Buffer.from(payload).toString()).n, monotonicMicros()]);
    },
  });
  running = {
    async stop() {
      await consumer.stop();
      await pool.end();
    },
  };
  reply({ kind: 'ready' });
}

async function stop(): Promise<void> {
  await running?.stop();
  running = undefined;
  reply({ kind: 'stopped', handled });
}

function reply(message: Reply): void {
  process.send?.(message);
}

process.on('message', (command: Command) => {
  const doing = command.do === 'start' ? start(command.task) : stop();
  doing.catch((error: unknown) => {
    process.stderr.write(`consumer ${variant}: ${error}\n`);
    process.exitCode = 1;
    process.disconnect();
  });
});
process.on('disconnect', () => void running?.stop());
reply({ kind: 'loaded' });
