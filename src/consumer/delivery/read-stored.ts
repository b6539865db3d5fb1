import {
  type JetStreamManager,
  jetstreamManager,
  type NextMsgRequest,
  type SeqMsgRequest,
  type StoredMsg,
} from '@nats-io/jetstream';
import { type BrokerLink, type SourceMessage, subjectMatches } from '../../jetstream/index.ts';

export interface StoredRange {
  readonly stream: string;
  /** Empty for everything. */
  readonly subjects: readonly string[];
  readonly from: number;
  /** Inclusive. */
  readonly to: number;
  readonly signal: AbortSignal;
}

/** At the same time, so that a takeover takes no round trip for each message. */
const AT_ONCE = 128;
/** Up to so many sequences each is asked for, whatever its subject; beyond, only those that match, one after the other. */
const EACH_UP_TO = 20_000;

/** The messages of a part of the stream, in order, some at a time. No consumer is made for it, which a work queue would refuse. */
export async function* readStored(link: BrokerLink, range: StoredRange): AsyncGenerator<SourceMessage[]> {
  if (range.from > range.to) return;
  const jsm = await jetstreamManager(link.connection, { checkAPI: false });
  const pages = range.to - range.from < EACH_UP_TO ? eachOf(jsm, range) : matchingOf(jsm, range);
  for await (const page of pages) yield page.map((message) => toSource(message, range.stream));
}

async function* eachOf(
  jsm: JetStreamManager,
  { stream, subjects, from, to, signal }: StoredRange,
): AsyncGenerator<StoredMsg[]> {
  for (let first = from; first <= to && !signal.aborted; first += AT_ONCE) {
    const count = Math.min(AT_ONCE, to - first + 1);
    const found = await Promise.all(
      Array.from({ length: count }, (_, i) => jsm.streams.getMessage(stream, { seq: first + i })),
    );
    yield found.filter((message) => message !== null && isWanted(message, subjects)) as StoredMsg[];
  }
}

function isWanted({ subject }: StoredMsg, subjects: readonly string[]): boolean {
  return subjects.length === 0 || subjects.some((pattern) => subjectMatches(pattern, subject));
}

/** Past what does not match, however much that is: each answer is the next message that does. */
async function* matchingOf(
  jsm: JetStreamManager,
  { stream, subjects, from, to, signal }: StoredRange,
): AsyncGenerator<StoredMsg[]> {
  const cursors = (subjects.length === 0 ? ['>'] : subjects).map((subject) =>
    createCursor(jsm, { stream, subject, from, to }),
  );
  for (let page: StoredMsg[] = []; !signal.aborted; ) {
    const heads = await Promise.all(cursors.map((cursor) => cursor.head()));
    const open = heads.filter((head) => head !== undefined);
    const next = open.sort((one, other) => one.seq - other.seq)[0];
    if (next !== undefined) page.push(next);
    if (next === undefined || page.length === AT_ONCE) {
      yield page;
      page = [];
    }
    if (next === undefined) return;
    // Patterns may overlap.
    for (const cursor of cursors) cursor.pass(next.seq);
  }
}

function createCursor(
  jsm: JetStreamManager,
  { stream, subject, from, to }: { stream: string; subject: string; from: number; to: number },
) {
  let next = from;
  let ahead: StoredMsg | undefined;
  return {
    /** Undefined: there is none up to the end. */
    async head(): Promise<StoredMsg | undefined> {
      if (ahead !== undefined || next > to) return ahead;
      const query: SeqMsgRequest & NextMsgRequest = { seq: next, next_by_subj: subject };
      const found = await jsm.streams.getMessage(stream, query);
      if (found === null || found.seq > to) next = to + 1;
      else ahead = found;
      return ahead;
    },
    pass(sequence: number): void {
      if (ahead?.seq === sequence) ahead = undefined;
      next = Math.max(next, sequence + 1);
    },
  };
}

function toSource({ subject, header, data, seq, time }: StoredMsg, stream: string): SourceMessage {
  // It was delivered once at least, or it would not be read here.
  return { subject, headers: header, data, stream, sequence: seq, time, deliveryCount: 2 };
}
