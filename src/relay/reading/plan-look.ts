import type { Coverage } from '../../batch-log/coverage.ts';
import { planIfLeading } from '../../batch-log/plan.ts';
import type { StoredEvent } from '../../event.ts';
import type { Capture, Look } from '../../outbox/capture.ts';
import type { Session } from '../../postgres/session.ts';
import type { Draft, Lane } from '../lane/lane.ts';
import type { PlansUnderWay } from './plans-under-way.ts';
import type { Router } from './router.ts';

export interface LookPlanner {
  /** All lanes of the relay, in the order in which they are asked for a subject. */
  readonly lanes: readonly Lane[];
  readonly router: Router;
  /** What earlier leaderships planned. */
  readonly coverage: Coverage;
  readonly underWay: PlansUnderWay;
  readonly session: Session;
  /** So many events are planned, in one statement; not called for none. */
  readonly onPlanned: (events: number) => void;
}

/** One lane that reads with this look. */
export interface Reader {
  readonly lane: Lane;
  /** It has read on its own: what it knows already is none of its business. */
  readonly since?: Capture | undefined;
}

export interface LookOptions {
  readonly capture: Capture;
  readonly readers: readonly Reader[];
  readonly checkpoint?: boolean;
  /** These cannot take their part. Called before the look is accepted, so that they can go on from the same place. */
  readonly onRefused: (lanes: readonly Lane[]) => void;
  /** Called when the rows are on their way. */
  readonly whilePlanning?: () => void;
}

/**
 * What a look brought is shared out, planned for all lanes in one statement, and sent. `refused`: no lane could take
 * its part, and the look was not accepted.
 */
export async function planLook(
  planner: LookPlanner,
  look: Look,
  options: LookOptions,
): Promise<'planned' | 'refused' | 'fenced'> {
  const { capture, readers } = options;
  const shares = shareOut(planner, await uncoveredOf(planner, look), readers);
  const drafts: Draft[] = [];
  const refused: Lane[] = [];
  for (const { lane } of readers) {
    const share = shares.get(lane) ?? NOTHING;
    const { readTo, openFrom } = look;
    const draft = lane.draft({ ...share, readTo, openFrom, checkpoint: options.checkpoint ?? false });
    if (draft === 'refused') refused.push(lane);
    else if (draft !== 'nothing') drafts.push(draft);
  }
  if (refused.length > 0) {
    if (refused.length === readers.length) return 'refused';
    options.onRefused(refused);
  }
  const planned = planner.underWay.begin(look.events.map(({ position }) => position));
  capture.accept(look);
  if (drafts.length === 0) {
    planned();
    return 'planned';
  }
  const rows = drafts.flatMap((draft) => draft.rows);
  const writing = planIfLeading(planner.session, rows, {
    letters: drafts.flatMap(({ letters }) => letters),
    retried: drafts.flatMap(({ retried }) => retried),
  });
  options.whilePlanning?.();
  if ((await writing) === 'fenced') return 'fenced';
  planned();
  for (const draft of drafts) draft.commit(); // L1
  const events = rows.reduce((sum, row) => sum + row.lastSequence - row.firstSequence + 1, 0);
  if (events > 0) planner.onPlanned(events);
  return 'planned';
}

async function uncoveredOf({ coverage }: LookPlanner, { events }: Look): Promise<readonly StoredEvent[]> {
  if (coverage.isOver(events[0]?.position)) return events;
  const free = await coverage.uncovered(events.map(({ position }) => position));
  return events.filter(({ position }) => free.has(position));
}

interface Share {
  readonly events: StoredEvent[];
  readonly misrouted: StoredEvent[];
}

const NOTHING: Share = { events: [], misrouted: [] };

/** The first lane also gets what no lane takes. */
function shareOut(
  { lanes, router }: LookPlanner,
  events: readonly StoredEvent[],
  readers: readonly Reader[],
): ReadonlyMap<Lane, Share> {
  const shares = new Map<Lane, Share>(readers.map(({ lane }) => [lane, { events: [], misrouted: [] }]));
  // By number, as the router answers: this is done for every event.
  const byNumber = lanes.map((lane) => shares.get(lane));
  const since = lanes.map((lane) => readers.find((reader) => reader.lane === lane)?.since);
  for (const event of events) {
    const number = router(event.subject);
    const share = byNumber[Math.max(number, 0)];
    if (share === undefined || since[Math.max(number, 0)]?.isOpen(event.position) === false) continue;
    (number < 0 ? share.misrouted : share.events).push(event);
  }
  return shares;
}
