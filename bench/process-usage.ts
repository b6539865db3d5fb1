import { readFile } from 'node:fs/promises';

export interface ProcessUsage {
  /** Since the process began. */
  readonly cpuMicros: number;
  readonly residentMiB: number;
  readonly peakMiB: number;
}

const MICROS_PER_TICK = 10_000;

/** CPU time and memory of another process, from /proc. */
export async function processUsage(pid: number): Promise<ProcessUsage> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const inMiB = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1_024;
  return {
    cpuMicros: (Number(fields[11]) + Number(fields[12])) * MICROS_PER_TICK,
    residentMiB: inMiB('VmRSS'),
    peakMiB: inMiB('VmHWM'),
  };
}
