import { type Clock, SYSTEM_CLOCK } from '../../lifecycle/clock.ts';
import type { Job } from './job.ts';

/**
 * What is to be done, in lines: of each line one claim at a time is under way, and what a failed job keeps waiting waits in
 * its line. Lines do not wait for each other.
 *
 * Invariants:
 *   S1  Jobs of a line are claimed in the order in which they were offered.
 *   S2  A job that is not over stays at the head of its line until it is, or until the line is dropped.
 */
export interface Schedule {
  /** Everything that is not over. */
  readonly size: number;
  /** Its payloads. */
  readonly bytes: number;
  /** What only waits for a free worker: not in a claim, and not behind a job that waits for its time. */
  readonly waiting: number;
  offer(job: Job): void;
  /** The next jobs, at most so many: stretches of lines, each in order. Undefined once closed. */
  claim(atMost: number): Promise<readonly Job[] | undefined>;
  /** Ends a claim: what is over leaves, what is not is claimed again when it is due. */
  release(claim: readonly Job[]): void;
  /** Drops what is in no claim now, the rest when it is released. Returns what was dropped now. */
  clear(): Job[];
  /** As `clear`, and every claim from now on is undefined. */
  close(): Job[];
}

interface Line {
  readonly name: string;
  readonly jobs: Job[];
  /** How many at its head are in a claim. */
  claimed: number;
  /** While its head waits for its time: gives up waiting. */
  stopWaiting: (() => void) | undefined;
  dropped: boolean;
}

interface Claimer {
  readonly atMost: number;
  give(jobs: readonly Job[] | undefined): void;
}

export interface ScheduleOptions {
  /** Called when fewer may be waiting than before. */
  readonly onRoom: () => void;
  /** By which jobs are due. Default: the machine's. */
  readonly clock?: Clock;
}

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one small state machine, whose steps are named functions.
export function createSchedule({ onRoom, clock = SYSTEM_CLOCK }: ScheduleOptions): Schedule {
  const lines = new Map<string, Line>();
  const lineOf = new WeakMap<Job, Line>();
  /** Lines with something to claim, first come first served. */
  const ready: Line[] = [];
  const claimers: Claimer[] = [];
  const counts = { all: 0, claimed: 0, delayed: 0, bytes: 0 };
  let closed = false;
  let handingOut = false;

  function enter(line: Line): void {
    ready.push(line);
    if (claimers.length === 0 || handingOut) return;
    handingOut = true;
    queueMicrotask(handOut);
  }

  /** When all that came with one packet was offered: given at once, the first of many would have a transaction to itself. */
  function handOut(): void {
    handingOut = false;
    while (ready.length > 0) {
      const claimer = claimers.shift();
      if (claimer === undefined) return;
      claimer.give(take(claimer.atMost));
      onRoom();
    }
  }

  /** Its head may have to wait for its time, and all behind it wait with it (S2). */
  function settle(line: Line): void {
    const waitMs = (line.jobs[0]?.dueMs ?? 0) - clock.now();
    if (waitMs <= 0) {
      enter(line);
      return;
    }
    counts.delayed += line.jobs.length;
    line.stopWaiting = clock.setTimer(waitMs, () => {
      line.stopWaiting = undefined;
      counts.delayed -= line.jobs.length;
      settle(line);
    });
  }

  function take(atMost: number): Job[] {
    const jobs: Job[] = [];
    while (jobs.length < atMost) {
      const line = ready.shift();
      if (line === undefined) break;
      line.claimed = line.jobs[0]?.alone ? 1 : Math.min(line.jobs.length, atMost - jobs.length);
      jobs.push(...line.jobs.slice(0, line.claimed));
    }
    counts.claimed += jobs.length;
    return jobs;
  }

  function endClaim(line: Line): void {
    const open = line.jobs.filter((job) => !job.over);
    counts.claimed -= line.claimed;
    counts.all -= line.jobs.length - open.length;
    counts.bytes -= sizeOf(line.jobs) - sizeOf(open);
    line.claimed = 0;
    line.jobs.splice(0, line.jobs.length, ...open);
    if (open.length === 0) lines.delete(line.name);
    else settle(line);
  }

  function clear(): Job[] {
    const left: Job[] = [];
    for (const line of lines.values()) {
      line.stopWaiting?.();
      line.dropped = true;
      left.push(...line.jobs.slice(line.claimed));
    }
    lines.clear();
    ready.length = 0;
    Object.assign(counts, { all: 0, claimed: 0, delayed: 0, bytes: 0 });
    return left;
  }

  return {
    get size() {
      return counts.all;
    },
    get bytes() {
      return counts.bytes;
    },
    get waiting() {
      return counts.all - counts.claimed - counts.delayed;
    },
    offer(job) {
      let line = lines.get(job.line);
      if (line === undefined) {
        line = { name: job.line, jobs: [], claimed: 0, stopWaiting: undefined, dropped: false };
        lines.set(job.line, line);
      }
      lineOf.set(job, line);
      line.jobs.push(job);
      counts.all++;
      counts.bytes += sizeOf([job]);
      if (line.stopWaiting !== undefined) counts.delayed++;
      else if (line.jobs.length === 1) settle(line);
    },
    claim(atMost) {
      if (closed) return Promise.resolve(undefined);
      if (ready.length === 0) return new Promise((give) => claimers.push({ atMost, give }));
      const jobs = take(atMost);
      onRoom();
      return Promise.resolve(jobs);
    },
    release(claim) {
      for (const line of new Set(claim.map((job) => lineOf.get(job))))
        if (line !== undefined && !line.dropped) endClaim(line);
      onRoom();
    },
    clear,
    close() {
      closed = true;
      for (const { give } of claimers.splice(0)) give(undefined);
      return clear();
    },
  };
}

function sizeOf(jobs: readonly Job[]): number {
  return jobs.reduce((bytes, { event }) => bytes + event.payload.length, 0);
}
