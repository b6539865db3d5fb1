import type { Tap } from '../../../src/testing/index.ts';

/**
 * Moments in a relay's life, told from outside by what passes on the wire: the relay needs no hooks, and what is killed
 * there is the product as it is shipped.
 */
export interface Point {
  readonly server: 'postgres' | 'nats';
  /** Stands in what the relay sends. */
  readonly mark: string;
  /** `sent`: the server has not seen it yet. `answered`: it has, and the relay never hears of it. */
  readonly when: 'sent' | 'answered';
  /** How often the mark passes before. Default 0. */
  readonly after?: number;
}

export const POINTS = {
  'lead taken': { server: 'postgres', mark: 'postcommit_take_lead', when: 'answered' },
  'log fenced': { server: 'postgres', mark: 'share row exclusive', when: 'answered' },
  'log read': { server: 'postgres', mark: 'postcommit_last_rows', when: 'answered' },
  'before a look': { server: 'postgres', mark: 'postcommit_read_', when: 'sent', after: 5 },
  'before a plan': { server: 'postgres', mark: 'postcommit_plan', when: 'sent', after: 3 },
  'plan committed': { server: 'postgres', mark: 'postcommit_plan', when: 'answered', after: 3 },
  'before a renewal': { server: 'postgres', mark: 'postcommit_renew', when: 'sent' },
  renewed: { server: 'postgres', mark: 'postcommit_renew', when: 'answered' },
  'holders listed': { server: 'postgres', mark: 'postcommit_list_holders', when: 'answered' },
  'parked, awake or on to the next segment': {
    server: 'postgres',
    mark: 'postcommit_set_',
    when: 'answered',
  },
  'letters written': { server: 'postgres', mark: '_letters', when: 'answered' },
  'before a publish': { server: 'nats', mark: 'HPUB ', when: 'sent' },
  'mid-publish': { server: 'nats', mark: 'HPUB ', when: 'sent', after: 20 },
  'stored, not acknowledged': { server: 'nats', mark: 'HPUB ', when: 'answered', after: 3 },
} as const satisfies Record<string, Point>;

export type PointName = keyof typeof POINTS;

/** Waits at one server's wire for a point. */
export interface Lookout {
  readonly tap: Tap;
  /** Calls `onReached` at the point, while what has passed there is held back. Undone by calling what it returns. */
  await(point: Point, onReached: () => Promise<void>): () => void;
}

export function createLookout(): Lookout {
  let watch:
    | { point: Point; seen: number; heldLink: number | undefined; reach: () => Promise<void> }
    | undefined;
  const reach = async () => {
    const reached = watch;
    watch = undefined;
    await reached?.reach();
  };
  return {
    async tap(link, direction, bytes) {
      if (watch === undefined) return;
      if (direction === 'down') {
        if (watch.heldLink === link) await reach();
        return;
      }
      watch.seen += count(bytes, watch.point.mark);
      if (watch.heldLink !== undefined || watch.seen <= (watch.point.after ?? 0)) return;
      if (watch.point.when === 'sent') await reach();
      else watch.heldLink = link;
    },
    await(point, onReached) {
      const mine = { point, seen: 0, heldLink: undefined, reach: onReached };
      watch = mine;
      return () => {
        if (watch === mine) watch = undefined;
      };
    },
  };
}

function count(bytes: Buffer, mark: string): number {
  let times = 0;
  for (let at = bytes.indexOf(mark); at !== -1; at = bytes.indexOf(mark, at + mark.length)) times++;
  return times;
}
