import type { Holders } from './holders.ts';

/** The ring of leaves that the migration made. */
export const SEGMENTS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7];

/**
 * The leaves that may hold unread rows.
 *   S1  After a start every leaf is live: an uncommitted row may lie in any.
 *   S2  A leaf becomes live before the switch that points inserts to it, and stays so until a read has seen a switch.
 *   S3  A leaf leaves only when inserts go elsewhere, all holders listed after that have ended, and its highest
 *       position lies below the lowest open one. It comes back when a row turns up in it that was passed over.
 */
export interface LiveSegments {
  readonly live: readonly number[];
  add(segment: number): void;
  /** A row turned up in a leaf that was left, or one that its end did not count: it is read again, and left anew. */
  revive(segment: number): void;
  /** Inserts go to this leaf, says a read. */
  current(segment: number): void;
  listed(holders: Holders): void;
  /** Leaves without holders whose highest position is not known yet. */
  unmeasured(): readonly number[];
  measured(segment: number, highest: number): void;
  /** Drops what is done with. */
  drop(openFrom: number): void;
  /** The same leaves, to be gone on with by another reader from here. */
  fork(): LiveSegments;
  /** Some leaf other than the current one is still being read. */
  readonly retiring: boolean;
}

interface Leaf {
  /** Who may still insert; null until a listing that began after inserts went elsewhere. */
  holders: Set<string> | null;
  /** Its highest position, once nobody can add to it. */
  highest: number | null;
}

export function createLiveSegments(): LiveSegments {
  const leaves = new Map<number, Leaf>(
    SEGMENTS.map((segment) => [segment, { holders: null, highest: null }]),
  );
  return liveSegmentsOf({ leaves, awaited: new Set(), current: null });
}

interface State {
  readonly leaves: Map<number, Leaf>;
  /** Made live for a switch that no read has seen yet (S2): listings say nothing about them. */
  readonly awaited: Set<number>;
  readonly current: number | null;
}

function liveSegmentsOf({ leaves, awaited, current: initial }: State): LiveSegments {
  let current = initial;
  let live: readonly number[] = [...leaves.keys()].sort((a, b) => a - b);
  const refresh = () => {
    live = [...leaves.keys()].sort((a, b) => a - b);
  };
  return {
    get live() {
      return live;
    },
    add(segment) {
      leaves.set(segment, { holders: null, highest: null });
      awaited.add(segment);
      refresh();
    },
    revive(segment) {
      leaves.set(segment, { holders: null, highest: null });
      refresh();
    },
    current(segment) {
      if (segment === current) return;
      if (current !== null) leaves.set(current, { holders: null, highest: null });
      awaited.clear();
      current = segment;
    },
    listed(holders) {
      if (current === null) return;
      for (const [segment, leaf] of leaves) {
        if (segment === current || awaited.has(segment)) continue;
        const remaining = [...(leaf.holders ?? holders.keys())].filter((id) => holders.has(id));
        leaf.holders = new Set(remaining);
      }
    },
    unmeasured() {
      return [...leaves]
        .filter(([segment, leaf]) => segment !== current && leaf.holders?.size === 0 && leaf.highest === null)
        .map(([segment]) => segment);
    },
    measured(segment, highest) {
      const leaf = leaves.get(segment);
      if (leaf?.holders?.size === 0) leaf.highest = highest; // Else it was made live again meanwhile.
    },
    drop(openFrom) {
      for (const [segment, leaf] of leaves) {
        if (segment !== current && leaf.highest !== null && leaf.highest < openFrom) leaves.delete(segment);
      }
      refresh();
    },
    fork() {
      const copies = [...leaves].map(([segment, { holders, highest }]): [number, Leaf] => [
        segment,
        { holders: holders === null ? null : new Set(holders), highest },
      ]);
      return liveSegmentsOf({ leaves: new Map(copies), awaited: new Set(awaited), current });
    },
    get retiring() {
      return leaves.size > 1;
    },
  };
}
