import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Each client begins its next transaction when its last has committed. */
export interface ClosedLoop {
  readonly kind: 'closed';
  readonly clients: number;
  /** Not counted, at the beginning. */
  readonly warmUpMs: number;
  readonly forMs: number;
}

/** Transactions begin at random moments of a schedule, the same for the same numbers, however long others take. */
export interface OpenLoop {
  readonly kind: 'open';
  /** At most so many are under way; further ones wait, and their time runs. */
  readonly clients: number;
  readonly perSecond: number;
  readonly forMs: number;
}

export interface Committed {
  readonly commits: number;
  readonly perSecond: number;
  /** Of an open loop: from the moment that the schedule says to the commit, of each transaction. */
  readonly latenciesMs: readonly number[];
}

/** A process of its own that commits one statement on many connections. */
export interface CommitLoad extends AsyncDisposable {
  /** One at a time. */
  run(loop: ClosedLoop | OpenLoop): Promise<Committed>;
}

export interface CommitLoadOptions {
  readonly url: string;
  /** In autocommit. `{writer}` in it becomes the number of the connection. */
  readonly statement: string;
  readonly connections: number;
}

/** What the process answers. The first answer, without content, says that it is connected. */
export type Answer = Committed | { readonly ready: true };

export async function startCommitLoad({
  url,
  statement,
  connections,
}: CommitLoadOptions): Promise<CommitLoad> {
  const script = fileURLToPath(new URL('./commit-load-process.ts', import.meta.url));
  const child = fork(script, [url, statement, String(connections)]);
  const exited = once(child, 'exit');
  const answer = () =>
    new Promise<Answer>((resolve, reject) => {
      child.once('message', (message) => resolve(message as Answer));
      exited.then(([code]) => reject(new Error(`the load ended with ${code}`)), reject);
    });
  await answer();
  return {
    async run(loop) {
      const committed = answer();
      child.send(loop);
      return (await committed) as Committed;
    },
    async [Symbol.asyncDispose]() {
      if (child.connected) child.disconnect();
      await exited;
    },
  };
}
