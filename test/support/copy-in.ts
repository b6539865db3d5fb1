import type pg from 'pg';

/** A COPY FROM STDIN that lasts for as long as its test wants. */
export interface CopyIn {
  /** Resolves when the server has been given it, not when it has taken it. */
  write(text: string): Promise<void>;
  end(): Promise<void>;
}

interface CopyConnection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/** `pg` leaves COPY to whoever submits an object with these methods. */
export function startCopy(client: pg.Client, text: string): CopyIn {
  const begun = Promise.withResolvers<CopyConnection>();
  const ended = Promise.withResolvers<void>();
  ended.promise.catch(() => undefined); // Seen by end().
  const ignored = () => undefined;
  client.query({
    submit: (connection: CopyConnection) => connection.query(text),
    handleCopyInResponse: (connection: CopyConnection) => begun.resolve(connection),
    handleError(error: Error) {
      begun.reject(error);
      ended.reject(error);
    },
    handleReadyForQuery: () => ended.resolve(),
    handleCommandComplete: ignored,
    handleRowDescription: ignored,
    handleDataRow: ignored,
    handleEmptyQuery: ignored,
    handlePortalSuspended: ignored,
    handleCopyData: ignored,
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
