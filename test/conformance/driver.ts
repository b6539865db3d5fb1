import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { z } from 'zod';
import { NotApplicable, Unmet } from './verdict.ts';

/** An event as a request has it: a payload in JSON, or bytes in base64. */
export interface RequestedEvent {
  readonly subject: string;
  readonly payload?: unknown;
  readonly payloadBase64?: string;
  readonly key?: string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly eventId?: string;
}

export type Request =
  | { readonly do: 'begin'; readonly twoPhase?: true }
  | { readonly do: 'commit' }
  | { readonly do: 'rollback' }
  | { readonly do: 'savepoint'; readonly name: string }
  | { readonly do: 'rollback to'; readonly name: string }
  | { readonly do: 'prepare'; readonly name: string }
  | { readonly do: 'enqueue'; readonly event: RequestedEvent }
  | {
      readonly do: 'change';
      readonly aggregate: string;
      readonly value: string;
      readonly event: RequestedEvent;
    }
  | {
      readonly do: 'consume';
      readonly stream: string;
      readonly durable: string;
      readonly subjects: readonly string[];
      readonly ackWaitMs: number;
      readonly order?: 'key';
      readonly maxAttempts?: number;
    }
  | {
      readonly do: 'prune';
      readonly stream: string;
      readonly durable: string;
      readonly olderThanSeconds: number;
    }
  | { readonly do: 'stop' };

const ANSWER = z.union([
  z.object({ ok: z.literal(true), id: z.string().optional(), pruned: z.number().optional() }),
  z.object({ ok: z.literal(false), unsupported: z.literal(true) }),
  z.object({
    ok: z.literal(false),
    error: z.object({ message: z.string(), sqlstate: z.string().optional(), hint: z.string().optional() }),
  }),
]);

/** An error as the client reports it; with the state where it was the server's. */
export interface Refusal {
  readonly message: string;
  readonly sqlstate?: string | undefined;
  readonly hint?: string | undefined;
}

export type Answer =
  | { readonly kind: 'done'; readonly id: string | undefined; readonly pruned: number | undefined }
  | { readonly kind: 'error'; readonly error: Refusal };

/** A client under test: a process that answers each line of JSON with one. */
export interface Driver extends AsyncDisposable {
  /** @throws NotApplicable if it does not know the request, Unmet if it breaks the protocol. */
  ask(request: Request): Promise<Answer>;
  /** As `ask`. @throws Unmet if the answer is an error. */
  do(request: Request): Promise<{ readonly id: string | undefined; readonly pruned: number | undefined }>;
  /** SIGKILL, to it and to what it started. */
  kill(): Promise<void>;
}

export interface DriverOptions {
  readonly command: readonly string[];
  readonly databaseUrl: string;
  readonly natsUrl: string;
}

const ANSWER_WITHIN_MS = 30_000;
const END_WITHIN_MS = 3_000;
const KEPT_STDERR = 1_000;

interface Waiting {
  readonly request: Request;
  answer(line: string): void;
  fail(reason: string): void;
}

export function startDriver({ command, databaseUrl, natsUrl }: DriverOptions): Driver {
  const [file = '', ...args] = command;
  // A group of its own: what is killed is also what an `npm run` or a shell has started.
  const child = spawn(file, args, {
    env: { ...process.env, DATABASE_URL: databaseUrl, NATS_URL: natsUrl },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const waiting: Waiting[] = [];
  let complaints = '';
  let over: string | undefined;
  const end = (reason: string) => {
    over ??= complaints.trim() === '' ? reason : `${reason}; it had said: ${complaints.trim()}`;
    for (const one of waiting.splice(0)) one.fail(over);
  };
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints = `${complaints}${text}`.slice(-KEPT_STDERR);
  });
  child.stdin.on('error', () => undefined);
  child.on('error', (error) => end(`the driver cannot be started: ${error.message}`));
  const closed = new Promise<void>((resolve) => {
    child.on('close', (code, signal) => {
      end(`the driver has ended (${signal ?? `exit code ${code}`})`);
      resolve();
    });
    child.on('error', () => resolve());
  });
  onLines(child.stdout, (line) => waiting.shift()?.answer(line));

  const send = (request: Request): Promise<string> =>
    new Promise((resolve, reject) => {
      const what = `an answer to ${JSON.stringify(request).slice(0, 200)}`;
      if (over !== undefined) return reject(new Unmet(what, over));
      const timer = setTimeout(() => one.fail('none came'), ANSWER_WITHIN_MS);
      const one: Waiting = {
        request,
        answer: (line) => {
          clearTimeout(timer);
          resolve(line);
        },
        fail: (reason) => {
          clearTimeout(timer);
          reject(new Unmet(`${what} within ${ANSWER_WITHIN_MS / 1_000} s`, reason));
        },
      };
      waiting.push(one);
      child.stdin.write(`${asciiOf(request)}\n`);
    });

  const ask: Driver['ask'] = async (request) => readAnswer(request, await send(request));
  return {
    ask,
    async do(request) {
      const answer = await ask(request);
      if (answer.kind === 'done') return answer;
      throw new Unmet(`{"do": "${request.do}"} to succeed`, `it was answered with: ${answer.error.message}`);
    },
    async kill() {
      // Of one that has ended the id may be another's.
      if (over === undefined) killGroup(child);
      await closed;
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      const timer = setTimeout(() => killGroup(child), END_WITHIN_MS);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Some readers of lines take U+2028 for the end of one, and some do not expect UTF-8. */
function asciiOf(request: Request): string {
  return JSON.stringify(request).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Lines end with LF and nothing else; `node:readline` knows more ends. */
function onLines(output: Readable, tell: (line: string) => void): void {
  let begun = '';
  output.setEncoding('utf8').on('data', (text: string) => {
    const lines = `${begun}${text}`.split('\n');
    begun = lines.pop() ?? '';
    for (const line of lines) tell(line);
  });
}

function readAnswer(request: Request, line: string): Answer {
  const parsed = ANSWER.safeParse(jsonOf(line));
  if (!parsed.success)
    throw new Unmet(
      `one line of JSON with "ok" for {"do": "${request.do}"}`,
      `the line was ${JSON.stringify(line.slice(0, 200))}`,
    );
  const answer = parsed.data;
  if (answer.ok) return { kind: 'done', id: answer.id, pruned: answer.pruned };
  if ('unsupported' in answer) throw new NotApplicable(`the client does not support {"do": "${request.do}"}`);
  return { kind: 'error', error: answer.error };
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
