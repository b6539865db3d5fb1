import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../src/embedded/index.ts';
import type { LaneOptions } from '../../src/relay/index.ts';
import { RELAY_MAIN, type RelaySettings } from './relay-settings.ts';

const COMMAND_LINE = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export interface RelayProcessOptions {
  readonly databaseUrl: string;
  readonly natsUrl: string;
  /** One lane with this stream and the subjects below its name … */
  readonly stream?: string;
  /** … or several. */
  readonly lanes?: readonly LaneOptions[];
  /** Of that one lane. Default `stream`. */
  readonly ordering?: 'stream' | 'key' | 'none' | undefined;
  /** How long a clean stop may take, as `--grace` takes it. */
  readonly grace?: string;
  /** Another version's command line. Default: this one's. */
  readonly main?: string;
  /** The command line has no flag for the lease: given this, a small script runs the same daemon. */
  readonly leaseTtlMs?: number;
}

export interface Readiness {
  readonly ready: boolean;
  readonly role: string;
  readonly reasons: readonly string[];
}

export interface LogLine {
  readonly event?: string;
  readonly [field: string]: unknown;
}

/** A relay as a process of its own, to be killed, frozen and stopped. Its disposal kills it. */
export interface RelayProcess extends AsyncDisposable {
  readonly lines: readonly LogLine[];
  readonly stderr: string;
  /** The first log line with this event, now or later; rejects if the process ends without one. */
  line(event: string, matching?: (line: LogLine) => boolean): Promise<LogLine>;
  kill(signal: NodeJS.Signals): void;
  /** The exit code, or the signal that ended it. */
  readonly exit: Promise<number | NodeJS.Signals>;
  /** What /readyz says; undefined while nobody answers there. */
  readiness(): Promise<Readiness | undefined>;
  /** The sum of a metric over its labels. */
  metric(name: string): Promise<number>;
}

export async function startRelayProcess(options: RelayProcessOptions): Promise<RelayProcess> {
  const http = `http://127.0.0.1:${await freePort()}`;
  const child = launch(options, new URL(http).host);
  const log = readLog(child);
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const exit = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  return {
    lines: log.lines,
    get stderr() {
      return stderr;
    },
    line: (event, matching = () => true) =>
      Promise.race([
        log.find((line) => line.event === event && matching(line)),
        exit.then((code) => Promise.reject(new Error(`ended with ${code} before "${event}": ${stderr}`))),
      ]),
    kill: (signal) => void child.kill(signal),
    exit,
    readiness: () => readReadiness(http),
    metric: (name) => readMetric(http, name),
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await exit;
    },
  };
}

function launch(options: RelayProcessOptions, http: string): ChildProcess {
  const { leaseTtlMs } = options;
  const { args, env } =
    leaseTtlMs === undefined ? commandLine(options, http) : withLease({ ...options, leaseTtlMs }, http);
  return spawn(process.execPath, args, {
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Longer than the server waits for a client that takes nothing, and than many leases. */
const BLOCK_MS = 30_000;

interface Launched {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

function commandLine(
  { stream, lanes, ordering, grace, main = COMMAND_LINE, databaseUrl, natsUrl }: RelayProcessOptions,
  http: string,
): Launched {
  return {
    args: [main, 'relay', '--json', '--http', http, '--grace', grace ?? '10s'],
    env: {
      DATABASE_URL: databaseUrl,
      NATS_URL: natsUrl,
      ...(stream === undefined
        ? { POSTCOMMIT_LANES: JSON.stringify(lanes) }
        : {
            POSTCOMMIT_STREAM: stream,
            POSTCOMMIT_SUBJECTS: `${stream}.>`,
            ...(ordering === undefined ? {} : { POSTCOMMIT_ORDERING: ordering }),
          }),
    },
  };
}

function withLease(
  {
    stream = '',
    ordering = 'stream',
    databaseUrl,
    natsUrl,
    leaseTtlMs,
  }: RelayProcessOptions & { leaseTtlMs: number },
  http: string,
): Launched {
  const settings: RelaySettings = {
    databaseUrl,
    natsUrl,
    lane: { stream, subjects: [`${stream}.>`], ordering },
    leaseTtlMs,
    http,
    blockMs: BLOCK_MS,
    graceMs: 10_000,
  };
  return { args: [fileURLToPath(RELAY_MAIN)], env: { SETTINGS: JSON.stringify(settings) } };
}

function readLog(child: ChildProcess) {
  const lines: LogLine[] = [];
  const watchers = new Set<() => void>();
  if (child.stdout === null) throw new Error('the relay has no standard output');
  createInterface(child.stdout).on('line', (text) => {
    lines.push(JSON.parse(text));
    for (const watcher of watchers) watcher();
  });
  return {
    lines,
    find: (matches: (line: LogLine) => boolean) =>
      new Promise<LogLine>((resolve) => {
        const watcher = () => {
          const found = lines.find(matches);
          if (found === undefined) return;
          watchers.delete(watcher);
          resolve(found);
        };
        watchers.add(watcher);
        watcher();
      }),
  };
}

async function readReadiness(http: string): Promise<Readiness | undefined> {
  const response = await fetch(`${http}/readyz`, { signal: AbortSignal.timeout(1_000) }).catch(
    () => undefined,
  );
  if (response === undefined) return undefined;
  const { role, reasons } = (await response.json()) as Omit<Readiness, 'ready'>;
  return { ready: response.ok, role, reasons };
}

async function readMetric(http: string, name: string): Promise<number> {
  const page = await (await fetch(`${http}/metrics`)).text();
  const values = page
    .split('\n')
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .map((line) => Number(line.slice(line.lastIndexOf(' '))));
  if (values.length === 0) return 0;
  return values.reduce((sum, value) => sum + value, 0);
}
