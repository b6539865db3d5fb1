import { readdir, readFile } from 'node:fs/promises';

export interface ProcessUsage {
  /** Since the process began. */
  readonly cpuMicros: number;
  readonly residentMiB: number;
  readonly peakMiB: number;
}

const MICROS_PER_TICK = 10_000;

/** CPU time and memory of another process, from /proc. */
export async function processUsage(pid: number): Promise<ProcessUsage> {
  const { own } = await ticksOf(pid);
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const inMiB = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1_024;
  return { cpuMicros: own * MICROS_PER_TICK, residentMiB: inMiB('VmRSS'), peakMiB: inMiB('VmHWM') };
}

/** CPU time of a process and of all the children it has and had: a postmaster and its backends. */
export async function treeCpuMicros(pid: number): Promise<number> {
  const { own, ended } = await ticksOf(pid);
  let ticks = own + ended;
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const child = await ticksOf(Number(name)).catch(() => undefined); // It has ended since.
    if (child?.parent === pid) ticks += child.own;
  }
  return ticks * MICROS_PER_TICK;
}

async function ticksOf(pid: number) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = (...places: number[]) => places.reduce((sum, place) => sum + Number(fields[place]), 0);
  return { parent: Number(fields[1]), own: ticks(11, 12), ended: ticks(13, 14) };
}
