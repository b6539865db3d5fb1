import type { Diary } from './clinic.ts';

/** What the clinics know of their own doings; for the live view, except the ids that were taken back. */
export interface ClinicsDiary extends Diary {
  readonly committedEvents: number;
  readonly rolledBackIds: readonly string[];
  /** When the event of this rank among the committed ones was committed, on the clock of `performance.now()`. */
  committedAtMs(rank: number): number | undefined;
}

export function createDiary(): ClinicsDiary {
  const commitTimes: number[] = [];
  const rolledBackIds: string[] = [];
  return {
    rolledBackIds,
    get committedEvents() {
      return commitTimes.length;
    },
    committed(events) {
      const now = performance.now();
      for (let event = 0; event < events; event++) commitTimes.push(now);
    },
    rolledBack: (ids) => void rolledBackIds.push(...ids),
    committedAtMs: (rank) => commitTimes[rank],
  };
}
