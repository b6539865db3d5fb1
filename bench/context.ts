import type { BenchOutcome } from './report/result.ts';

/** What a benchmark gets: servers of its own, nothing else on them. */
export interface BenchContext {
  readonly databaseUrl: string;
  readonly natsUrl: string;
  /** CPU time that the servers have taken so far. */
  readonly serverCpu: () => Promise<ServerCpu>;
  /** Interleaved repetitions of each variant: A B C, A B C, … */
  readonly runs: number;
  /** A look, of a few seconds: loads are small, and there is one run of each. */
  readonly quick: boolean;
  /** For people; results go through the return value. */
  readonly note: (line: string) => void;
}

export interface ServerCpu {
  readonly postgresMicros: number;
  readonly natsMicros: number;
}

export interface Bench {
  /** What it measures, in one line of `--help`. */
  readonly summary: string;
  /** Not among those that run without a name: it takes too long. */
  readonly onlyByName?: boolean;
  run(context: BenchContext): Promise<BenchOutcome>;
}
