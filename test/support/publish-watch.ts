import type { NatsConnection } from '@nats-io/transport-node';

/** What one publisher sent into a stream, and what it was answered, since a moment. */
export interface Traffic {
  readonly published: number;
  /** Acknowledged as stored, by this publish and not by an earlier one. */
  readonly stored: number;
  readonly refused: number;
}

/** Listens to publishes into a stream and to the broker's answers, each by publisher: the inbox it wants answers to. */
export interface PublishWatch {
  /** Every publisher seen so far. */
  publishers(): Promise<string[]>;
  /** A moment to count from. */
  mark(): Promise<Mark>;
  since(mark: Mark, publishers: readonly string[]): Promise<Traffic>;
}

export interface Mark {
  readonly publishes: number;
  readonly answers: number;
}

interface Answer {
  readonly publisher: string;
  readonly stored: boolean;
}

export async function watchPublishes(connection: NatsConnection, stream: string): Promise<PublishWatch> {
  const publishes: string[] = [];
  const answers: Answer[] = [];
  connection.subscribe(`${stream}.>`, {
    callback: (_, { reply }) => void (reply === undefined ? undefined : publishes.push(publisherOf(reply))),
  });
  connection.subscribe('_INBOX.>', {
    callback(_, message) {
      const { stream: from, seq, duplicate, error } = parse(message.string());
      if (error === undefined && from !== stream) return;
      const stored = error === undefined && duplicate !== true && typeof seq === 'number' && seq > 0;
      answers.push({ publisher: publisherOf(message.subject), stored });
    },
  });
  await connection.flush();
  return {
    async publishers() {
      await connection.flush();
      return [...new Set(publishes)];
    },
    async mark() {
      await connection.flush();
      return { publishes: publishes.length, answers: answers.length };
    },
    async since(mark, whose) {
      await connection.flush();
      const answered = answers.slice(mark.answers).filter(({ publisher }) => whose.includes(publisher));
      return {
        published: publishes.slice(mark.publishes).filter((publisher) => whose.includes(publisher)).length,
        stored: answered.filter(({ stored }) => stored).length,
        refused: answered.filter(({ stored }) => !stored).length,
      };
    },
  };
}

function publisherOf(reply: string): string {
  return reply.split('.').slice(0, 2).join('.');
}

interface PubAck {
  readonly stream?: string;
  readonly seq?: number;
  readonly duplicate?: boolean;
  readonly error?: unknown;
}

function parse(text: string): PubAck {
  try {
    return JSON.parse(text) as PubAck;
  } catch {
    return {};
  }
}
