/** An event as a writer hands it to `enqueue()`. */
export interface OutboxEvent {
  /** NATS subject it will be published on: dot-separated tokens without wildcards, blanks or a leading `$`. */
  readonly subject: string;
  /** A `Uint8Array` is carried byte for byte; anything else is written as JSON. */
  readonly payload: unknown;
  /** The aggregate it belongs to. Events of one key keep their order in `key` ordering. */
  readonly key?: string;
  /** Name of the event's type, for instance `patient.registered`. */
  readonly type?: string;
  /** Application headers. `Nats-*` and `Postcommit-*` are reserved and refused. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Identity for deduplication; a random UUID by default. */
  readonly eventId?: string;
}

/** An event as the relay reads it from the outbox. */
export interface StoredEvent {
  /** Place in the outbox, unique and rising in the order of insertion. */
  readonly position: number;
  readonly eventId: string;
  readonly subject: string;
  /** Of a copy that is published under a prefix: the subject of the event itself. */
  readonly ownSubject?: string;
  readonly key: string | null;
  readonly type: string | null;
  /** Null where the writer gave none. */
  readonly headers: Readonly<Record<string, string>> | null;
  readonly payload: Uint8Array;
  /** When the row was inserted, milliseconds of the Unix epoch on the database's clock. */
  readonly createdAtMs: number;
}
