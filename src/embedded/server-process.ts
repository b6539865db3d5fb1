import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, stat } from 'node:fs/promises';
import { messageOf, PostcommitError } from '../errors.ts';
import { sleep } from '../lifecycle/abort.ts';
import type { Guardian } from './guardian.ts';
import { type Identity, runningAs } from './process.ts';

const READY_TIMEOUT_MS = 60_000;
const PROBE_PAUSE_MS = 10;

export interface Launch {
  /** As a person calls it: PostgreSQL, nats-server. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly logFile: string;
  readonly identity?: Identity | undefined;
  readonly guardian: Guardian;
}

export interface ServerProcess {
  readonly pid: number;
  readonly exited: Promise<void>;
  hasExited(): boolean;
  signal(signal: NodeJS.Signals): void;
  /** What it printed since this launch. */
  output(): Promise<string>;
}

/** Starts a server that writes to its log file, in a process group of its own: Ctrl-C reaches only us. */
export async function launchServer(launch: Launch): Promise<ServerProcess> {
  const { command, args, logFile, identity, guardian } = launch;
  const log = await open(logFile, 'a', 0o600);
  try {
    if (identity !== undefined) await log.chown(identity.uid, identity.gid);
    const { size } = await log.stat();
    const child = spawn(command, [...args], {
      ...runningAs(identity),
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    });
    await once(child, 'spawn');
    return superviseChild(child, { guardian, output: () => outputSince(logFile, size) });
  } finally {
    await log.close();
  }
}

function superviseChild(
  child: ChildProcess,
  { guardian, output }: { guardian: Guardian; output: () => Promise<string> },
): ServerProcess {
  const pid = child.pid ?? 0;
  guardian.watch(pid);
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => {
      guardian.watch(undefined);
      resolve();
    });
  });
  return {
    pid,
    exited,
    output,
    hasExited: () => child.exitCode !== null || child.signalCode !== null,
    signal: (signal) => void child.kill(signal),
  };
}

async function outputSince(logFile: string, offset: number): Promise<string> {
  const { size } = await stat(logFile);
  if (size <= offset) return '';
  return (await readFile(logFile)).subarray(offset).toString('utf8');
}

/** Repeats `probe` until it answers; fails as soon as the server has exited. */
export async function untilReady<Facts>(
  server: ServerProcess,
  { name, logFile }: Launch,
  probe: () => Promise<Facts>,
): Promise<Facts> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  // Whoever took our port may accept a probe and never answer it.
  const exited = server.exited.then(() => Promise.reject(new Error('exited')));
  exited.catch(() => {});
  for (;;) {
    try {
      return await Promise.race([exited, probe()]);
    } catch (cause) {
      if (server.hasExited() || Date.now() > deadline)
        throw await startFailure(server, { name, logFile, cause });
      await Promise.race([sleep(PROBE_PAUSE_MS), server.exited]);
    }
  }
}

async function startFailure(
  server: ServerProcess,
  { name, logFile, cause }: { name: string; logFile: string; cause: unknown },
): Promise<PostcommitError> {
  const why = server.hasExited() ? 'exited while starting' : `does not answer: ${messageOf(cause)}`;
  const lastLines = (await server.output()).trim().split('\n').slice(-8).join('\n');
  server.signal('SIGKILL');
  await server.exited;
  return new PostcommitError('service-failed', `${name} ${why}\n${lastLines}`, `Read its log: ${logFile}`, {
    cause,
  });
}

/** Sends the signal and waits for the end; a server that ignores it for `graceMs` is killed. */
export async function stopServer(
  server: ServerProcess,
  signal: NodeJS.Signals,
  { graceMs = 20_000 }: { graceMs?: number } = {},
): Promise<void> {
  server.signal(signal);
  // A test may have frozen it with SIGSTOP; a frozen process handles no signal.
  server.signal('SIGCONT');
  const timer = setTimeout(() => server.signal('SIGKILL'), graceMs);
  await server.exited;
  clearTimeout(timer);
}

/** Whether a start failed because someone else took the port in the meantime. */
export function isPortTaken(thrown: unknown): boolean {
  return thrown instanceof PostcommitError && /address already in use/i.test(thrown.message);
}
