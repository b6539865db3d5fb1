import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { createGuardian } from '../embedded/guardian.ts';
import { PostcommitError } from '../errors.ts';
import { sleep } from '../lifecycle/abort.ts';

export type Role = 'starting' | 'standby' | 'leader' | 'ended';

/** A `postcommit relay` in a process of its own, started as a user would. */
export interface RelayProcess {
  /** Counted from 1 in the order of their starts. */
  readonly number: number;
  readonly pid: number;
  readonly role: Role;
  /** Of the last leadership; 0 before the first. */
  readonly epoch: number;
  /** When it said so, on the clock of `performance.now()`. */
  readonly leadingSinceMs: number;
  /** Where its console is; known once it is ready. */
  readonly consoleUrl: string | undefined;
  /** Its last warning, for a person; empty without one. */
  readonly trouble: string;
  /** Resolves when it publishes or stands by, or ends. */
  readonly ready: Promise<void>;
  readonly exited: Promise<void>;
  /** Its end is expected from now on. */
  condemn(): void;
  /** SIGTERM, and SIGKILL if that takes too long. */
  stop(): Promise<void>;
}

export interface RelayCommand {
  /** The executable and its arguments up to and including `relay`. */
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
}

export interface RelayListener {
  onLeading(relay: RelayProcess): void;
  /** It ended without being condemned or stopped. */
  onUnexpectedEnd(error: PostcommitError): void;
}

const STOP_GRACE_MS = 3_000;
/** pino's number for it. */
const WARNING = 40;

export function startRelayProcess(
  { argv: [file, ...args], env }: RelayCommand,
  { number, listener }: { number: number; listener: RelayListener },
): RelayProcess {
  // Detached: Ctrl-C goes to the whole group of a terminal, and it is the demo that ends its relays.
  const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const guardian = createGuardian({ signal: 'TERM' });
  guardian.watch(child.pid);
  const log = readLog(child);
  const ending = { asked: false };
  const exited = once(child, 'close').then(
    () => endOf(),
    () => endOf(),
  );

  async function endOf(): Promise<void> {
    log.role = 'ended';
    guardian.watch(undefined);
    await guardian.dismiss();
    if (!ending.asked) listener.onUnexpectedEnd(unexpectedEnd(number, child, log.complaint));
  }
  const relay: RelayProcess = {
    number,
    pid: child.pid ?? 0,
    get role() {
      return log.role;
    },
    get epoch() {
      return log.epoch;
    },
    get leadingSinceMs() {
      return log.leadingSinceMs;
    },
    get consoleUrl() {
      return log.consoleUrl;
    },
    get trouble() {
      return log.trouble;
    },
    ready: Promise.race([log.ready, exited]),
    exited,
    condemn() {
      ending.asked = true;
    },
    async stop() {
      ending.asked = true;
      child.kill('SIGTERM');
      const late = new AbortController();
      void sleep(STOP_GRACE_MS, late.signal).then(() => late.signal.aborted || child.kill('SIGKILL'));
      await exited;
      late.abort();
    },
  };
  log.onLeading = () => listener.onLeading(relay);
  return relay;
}

/** What a relay says about itself on its standard output. */
interface RelayLog {
  role: Role;
  epoch: number;
  leadingSinceMs: number;
  consoleUrl: string | undefined;
  trouble: string;
  /** The last of what it wrote to standard error. */
  complaint: string;
  readonly ready: Promise<void>;
  onLeading: () => void;
}

interface LogLine {
  readonly level?: number;
  readonly msg?: string;
  readonly event?: string;
  readonly role?: Role;
  readonly epoch?: number;
  readonly http?: string | null;
}

function readLog({ stdout, stderr }: ChildProcess): RelayLog {
  let announce = () => {};
  const log: RelayLog = {
    role: 'starting',
    epoch: 0,
    leadingSinceMs: 0,
    consoleUrl: undefined,
    trouble: '',
    complaint: '',
    ready: new Promise((resolve) => {
      announce = resolve;
    }),
    onLeading: () => {},
  };
  stderr?.on('data', (chunk) => {
    log.complaint = `${log.complaint}${chunk}`.slice(-2_000);
  });
  if (stdout !== null) createInterface({ input: stdout }).on('line', (text) => note(parseLine(text)));

  function note({ level = 0, msg = '', event, role, epoch, http }: LogLine): void {
    if (level >= WARNING) log.trouble = msg;
    if (event === 'role' && (role === 'leader' || role === 'standby')) {
      log.role = role;
      if (role === 'leader') {
        log.epoch = epoch ?? log.epoch;
        log.leadingSinceMs = performance.now();
        log.onLeading();
      }
    }
    if (event === 'ready') {
      log.consoleUrl = http ? `${http}/` : undefined;
      announce();
    }
  }
  return log;
}

function parseLine(text: string): LogLine {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return {};
  }
}

function unexpectedEnd(number: number, child: ChildProcess, complaint: string): PostcommitError {
  const how = child.signalCode === null ? `with code ${child.exitCode}` : `by ${child.signalCode}`;
  return new PostcommitError(
    'service-failed',
    `relay ${number} ended by itself ${how}${complaint === '' ? '' : `:\n${complaint.trimEnd()}`}`,
    'Run `postcommit relay` with the same DATABASE_URL and NATS_URL to see why.',
  );
}
