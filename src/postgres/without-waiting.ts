import { type Session, sqlState } from './session.ts';

const LOCK_NOT_AVAILABLE = '55P03';

/**
 * Runs statements in a transaction that never waits for a lock, so that nobody ever waits behind it. `busy`: someone
 * was in the way, and all of it was rolled back. Its commit does not wait for standbys either: they would make it hold
 * its locks as long.
 */
export async function withoutWaiting<Result>(
  session: Session,
  work: () => Promise<Result>,
): Promise<Result | 'busy'> {
  await session.query({ text: 'begin isolation level read committed' });
  try {
    await session.query({
      text: "select set_config('lock_timeout', '5ms', true), set_config('synchronous_commit', 'local', true)",
    });
    const result = await work();
    await session.query({ text: 'commit' });
    return result;
  } catch (error) {
    if (session.failed) throw error;
    await session.query({ text: 'rollback' });
    if (sqlState(error) === LOCK_NOT_AVAILABLE) return 'busy';
    throw error;
  }
}
