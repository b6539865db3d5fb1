import type { ClinicsDiary } from './diary.ts';
import type { DirectoryCounts } from './directory.ts';
import type { Snapshot } from './live-view.ts';
import type { RelayPair } from './relay-pair.ts';
import type { StreamObserver } from './stream-observer.ts';

export interface ProgressSources {
  readonly startedAtMs: number;
  readonly diary: ClinicsDiary;
  readonly observer: StreamObserver;
  readonly relays: RelayPair;
  readonly directory: () => Promise<DirectoryCounts>;
  readonly kills: readonly unknown[];
  readonly phase: () => string;
}

/** Takes snapshots at a steady pace and hands them on. */
export interface Progress {
  stop(): void;
}

const SAMPLE_MS = 150;
const RATE_WINDOW_MS = 1_000;
const HISTORY = 32;

export function watchProgress(sources: ProgressSources, onSnapshot: (snapshot: Snapshot) => void): Progress {
  const backlogHistory: number[] = [];
  let stored: { readonly atMs: number; readonly count: number }[] = [];
  let sampling = false;
  let stopped = false;

  async function sample(): Promise<Snapshot> {
    const { diary, observer, relays, kills } = sources;
    const [inStream, { effects, duplicates }] = await Promise.all([
      observer.lastSequence(),
      sources.directory(),
    ]);
    const atMs = performance.now();
    stored = [...stored.filter((past) => atMs - past.atMs <= RATE_WINDOW_MS), { atMs, count: inStream }];
    const backlog = Math.max(0, diary.committedEvents - inStream);
    backlogHistory.push(backlog);
    if (backlogHistory.length > HISTORY) backlogHistory.shift();
    // Commits and the stream are in much the same order, so the first not stored is the one of that rank.
    const oldestAtMs = diary.committedAtMs(inStream);
    return {
      elapsedMs: atMs - sources.startedAtMs,
      phase: sources.phase(),
      committed: diary.committedEvents,
      rolledBack: diary.rolledBackIds.length,
      inStream,
      perSecond: inStream - (stored[0]?.count ?? inStream),
      backlog,
      backlogHistory,
      oldestMs: oldestAtMs === undefined ? 0 : atMs - oldestAtMs,
      effects,
      refused: duplicates,
      kills: kills.length,
      relays: relays.running,
    };
  }

  const timer = setInterval(() => {
    if (sampling) return;
    sampling = true;
    void sample()
      .then((snapshot) => stopped || onSnapshot(snapshot))
      .finally(() => {
        sampling = false;
      });
  }, SAMPLE_MS);
  return {
    stop() {
      stopped = true;
      clearInterval(timer);
    },
  };
}
