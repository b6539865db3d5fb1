import { type ConsumerDatabase, pgPoolOf } from './database.ts';

interface Emitter {
  on(event: string, listener: (...args: never[]) => void): unknown;
  off(event: string, listener: (...args: never[]) => void): unknown;
}

/**
 * A `pg` pool or client whose connection breaks emits `error`, which ends the process if nobody listens: idle in
 * the pool, or checked out between two statements. The statement that runs, or the next, reports the same thing.
 * Returns what takes the listeners off again.
 */
export function absorbConnectionErrors(database: ConsumerDatabase): () => void {
  const pool = pgPoolOf(database) as Emitter | undefined;
  if (pool === undefined) return () => undefined;
  const absorb = () => undefined;
  const onAcquire = (client: Emitter) => void client.on('error', absorb);
  const onRelease = (_error: unknown, client: Emitter) => void client.off('error', absorb);
  pool.on('error', absorb);
  pool.on('acquire', onAcquire);
  pool.on('release', onRelease);
  return () => {
    pool.off('error', absorb);
    pool.off('acquire', onAcquire);
    pool.off('release', onRelease);
  };
}
