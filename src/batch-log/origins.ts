import { includes, type PositionRanges } from '../postgres/position-ranges.ts';
import type { Session } from '../postgres/session.ts';
import type { Batch } from './batch.ts';
import { coverageOf, lastRows } from './recover.ts';

/** How many positions one look-up speaks of: each is to take no longer than a look of the relay. */
const WINDOW = 10_000;

/** Tells for which stream an event was planned, copies not counted. Asked by rising position. */
export interface Origins {
  /** Undefined: no plan holds it (yet). */
  of(position: number): Promise<string | undefined>;
}

interface Window {
  readonly from: number;
  readonly to: number;
  readonly streams: readonly Plans[];
  /** All lanes had read what lies below. */
  readonly openFrom: number;
  /** Looked for up to the end of the log, and not only among the plans of its time. */
  readonly whole: boolean;
}

interface Plans {
  readonly stream: string;
  readonly positions: PositionRanges;
}

export function createOrigins(session: Session): Origins {
  let window: Window | undefined;
  const load = async (from: number, whole: boolean): Promise<Window> => {
    const newest = await lastRows(session);
    const to = from + WINDOW - 1;
    const streams: Plans[] = [];
    for (const row of newest) streams.push(await plansOf(session, row, { from, to, reopened: whole }));
    return { from, to, streams, openFrom: Math.min(...newest.map(({ openFrom }) => openFrom)), whole };
  };
  const find = ({ streams }: Window, position: number) =>
    streams.find(({ positions }) => includes(positions, position))?.stream;
  return {
    async of(position) {
      if (window === undefined || position < window.from || position > window.to)
        window = await load(position, false);
      const found = find(window, position);
      if (found !== undefined || window.whole || position >= window.openFrom) return found;
      // An audit may have found it long after its neighbours were planned.
      window = await load(window.from, true);
      return find(window, position);
    },
  };
}

async function plansOf(
  session: Session,
  row: Batch,
  bounds: { from: number; to: number; reopened: boolean },
): Promise<Plans> {
  const positions = await coverageOf(session, [row], { ...bounds, originals: true });
  return { stream: row.stream, positions };
}
