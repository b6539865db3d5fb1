import type { Readable } from 'node:stream';
import type pg from 'pg';

/** A COPY FROM STDIN that lasts for as long as its test wants. */
export interface CopyIn {
  /** Resolves when the server has been given it, not when it has taken it. */
  write(text: string): Promise<void>;
  end(): Promise<void>;
}

/** A COPY TO STDOUT that nobody reads on from, so that the server does not come to its end. */
export interface CopyOut {
  /** Resolves when the first of it has come. */
  readonly begun: Promise<void>;
  /** Reads the rest. Resolves with the number of bytes of all. */
  end(): Promise<number>;
}

interface CopyConnection {
  readonly stream: Readable;
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

const ignored = () => undefined;
/** `pg` leaves COPY to whoever submits an object with these methods. */
const UNHEARD = {
  handleCommandComplete: ignored,
  handleRowDescription: ignored,
  handleDataRow: ignored,
  handleEmptyQuery: ignored,
  handlePortalSuspended: ignored,
  handleCopyData: ignored,
};

export function startCopyIn(client: pg.Client, text: string): CopyIn {
  const begun = Promise.withResolvers<CopyConnection>();
  const ended = Promise.withResolvers<void>();
  ended.promise.catch(ignored); // Seen by end().
  client.query({
    ...UNHEARD,
    submit: (connection: CopyConnection) => connection.query(text),
    handleCopyInResponse: (connection: CopyConnection) => begun.resolve(connection),
    handleError(error: Error) {
      begun.reject(error);
      ended.reject(error);
    },
    handleReadyForQuery: () => ended.resolve(),
  } as unknown as pg.QueryConfig);
  return {
    async write(rows) {
      (await begun.promise).sendCopyFromChunk(Buffer.from(rows));
    },
    async end() {
      (await begun.promise).endCopyFrom();
      await ended.promise;
    },
  };
}

/** `text` must bring more than the buffers of a connection hold, some megabytes. */
export function startCopyOut(client: pg.Client, text: string): CopyOut {
  const begun = Promise.withResolvers<CopyConnection>();
  const ended = Promise.withResolvers<void>();
  ended.promise.catch(ignored);
  let connection: CopyConnection;
  let bytes = 0;
  client.query({
    ...UNHEARD,
    submit(submittedTo: CopyConnection) {
      connection = submittedTo;
      connection.query(text);
    },
    handleCopyData({ chunk }: { chunk: Buffer }) {
      if (bytes === 0) connection.stream.pause();
      bytes += chunk.length;
      begun.resolve(connection);
    },
    handleError(error: Error) {
      begun.reject(error);
      ended.reject(error);
    },
    handleReadyForQuery: () => ended.resolve(),
  } as unknown as pg.QueryConfig);
  return {
    begun: begun.promise.then(ignored),
    async end() {
      (await begun.promise).stream.resume();
      await ended.promise;
      return bytes;
    },
  };
}
