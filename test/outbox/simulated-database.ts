import { readTextRows } from '../../src/postgres/columns.ts';
import type { Session, TextRow } from '../../src/postgres/session.ts';

/** One row of the simulated outbox; times are ticks of the simulation. */
export interface SimulatedRow {
  readonly position: number;
  readonly segment: number;
  readonly drawnAt: number;
  /** Null while its transaction is open, or for ever after a rollback. */
  readonly committedAt: number | null;
}

export interface SimulatedDatabase {
  /** A session for a capture. `between` runs wherever other sessions may get their turn. */
  session(between: () => void): Session;
  /** Starts transaction `slot`, or ends it. An open one may draw positions; none is inserted at `rows: 0`. */
  draw(slot: number, positions: number, options?: { rolledBackToSavepoint?: boolean }): void;
  /** The lock is taken, no transaction id yet: an INSERT ... SELECT that has not found its first row. */
  begin(slot: number): void;
  commit(slot: number): void;
  rollback(slot: number): void;
  pointInsertsTo(segment: number): void;
  /** A committed row at a position of a stranger's choice. */
  putIn(position: number, segment: number): void;
  readonly segment: number;
  readonly rows: ReadonlyMap<number, SimulatedRow>;
  readonly open: number;
}

interface Transaction {
  readonly holder: string;
  xid: number | null;
  rows: Row[];
}

interface Row extends SimulatedRow {
  committedAt: number | null;
}

/**
 * PostgreSQL as far as capture sees it: positions drawn out of commit order, a lock held until the transaction's end,
 * snapshots that are older than what comes back in the same row. It answers the statements of `read.ts` and
 * `holders.ts` by their names and parameters, so it has to change with them.
 */
export function createSimulatedDatabase(): SimulatedDatabase {
  const rows = new Map<number, Row>();
  const transactions = new Map<number, Transaction>();
  const inProgress = new Set<number>();
  let clock = 0;
  let lastPosition = 0;
  let lastXid = 700;
  let lastHolder = 0;
  let segment = 0;

  function begin(slot: number): Transaction {
    const open = transactions.get(slot);
    if (open !== undefined) return open;
    const transaction: Transaction = { holder: `3/${++lastHolder}`, xid: null, rows: [] };
    transactions.set(slot, transaction);
    return transaction;
  }

  function end(slot: number, committed: boolean): void {
    const transaction = transactions.get(slot);
    if (transaction === undefined) return;
    clock++;
    if (transaction.xid !== null) inProgress.delete(transaction.xid);
    if (committed) for (const row of transaction.rows) row.committedAt = clock;
    transactions.delete(slot);
  }

  function visibleTo(snapshot: number): Row[] {
    return [...rows.values()].filter(({ committedAt }) => committedAt !== null && committedAt <= snapshot);
  }

  function read(request: ReadRequest, between: () => void): TextRow[] {
    const snapshot = clock;
    const running = new Set(inProgress);
    between(); // The facts are newer than the snapshot.
    const visible = visibleTo(snapshot).filter(
      ({ position, segment: leaf }) => request.leaves.has(leaf) && request.wants(position),
    );
    const found = visible.sort((a, b) => a.position - b.position).slice(0, request.limit);
    const gateOpened = request.gate.some((xid) => !running.has(xid));
    const strays = straysOf(visibleTo(snapshot), request);
    const facts = [null, String(lastPosition), String(segment), String(gateOpened), strays, null, null, null];
    between();
    return [facts, ...found.map(({ position }) => rowOf(position))];
  }

  function holders(): TextRow[] {
    return [...transactions.values()].map(({ holder, xid }) => [holder, xid?.toString() ?? null, '9000']);
  }

  function highest(leaf: number): TextRow[] {
    const positions = [...rows.values()].filter((row) => row.segment === leaf && row.committedAt !== null);
    return positions.length === 0 ? [] : [[String(Math.max(...positions.map(({ position }) => position)))]];
  }

  return {
    rows,
    begin,
    get segment() {
      return segment;
    },
    get open() {
      return transactions.size;
    },
    draw(slot, positions, { rolledBackToSavepoint = false } = {}) {
      const transaction = begin(slot);
      if (transaction.xid === null) {
        transaction.xid = ++lastXid;
        inProgress.add(transaction.xid);
      }
      for (let i = 0; i < positions; i++) {
        const row = { position: ++lastPosition, segment, drawnAt: ++clock, committedAt: null };
        rows.set(row.position, row);
        if (!rolledBackToSavepoint) transaction.rows.push(row);
      }
    },
    commit: (slot) => end(slot, true),
    rollback: (slot) => end(slot, false),
    pointInsertsTo(to) {
      segment = to;
    },
    putIn(position, leaf) {
      clock++;
      rows.set(position, { position, segment: leaf, drawnAt: clock, committedAt: clock });
    },
    session(between) {
      return {
        pooled: false,
        backendPid: null,
        async query({ name, text }) {
          between();
          let answer: TextRow[];
          if (name === 'postcommit_list_holders') answer = holders();
          else answer = highest(Number(/postcommit\.outbox_(\d)/.exec(text)?.[1]));
          between();
          return answer;
        },
        async read({ name = '', values = [] }, { onRow }) {
          between();
          const answer = read(decode(name, values), between);
          between();
          readTextRows(answer, onRow);
        },
        queryStrictly: () => Promise.reject(new Error('capture writes nothing')),
        failed: false,
        onFailure: () => undefined,
        close: () => Promise.resolve(),
        destroy: () => undefined,
      };
    },
  };
}

interface ReadRequest {
  readonly leaves: ReadonlySet<number>;
  readonly limit: number;
  readonly gate: readonly number[];
  readonly strays: readonly [from: number, to: number] | null;
  wants(position: number): boolean;
}

function straysOf(rows: readonly SimulatedRow[], { strays, leaves }: ReadRequest): string | null {
  if (strays === null) return null;
  const [from, to] = strays;
  const found = rows.filter(
    ({ position, segment }) => position >= from && position <= to && !leaves.has(segment),
  );
  return [...new Set(found.map(({ segment }) => segment))].join(',');
}

/** What a read asks for, from its shape and its parameters. */
function decode(name: string, values: readonly unknown[]): ReadRequest {
  const [gaps, gapsOnly, gated, leaves = '', limit, searched] = name
    .slice('postcommit_read_'.length)
    .split('_');
  const rest = [...values];
  const gate = gated === 'x' ? (rest.shift() as string[]).map(Number) : [];
  const strays = searched === 's' ? ([rest.shift(), rest.shift()] as [number, number]) : null;
  const isGap = gaps === '' ? () => false : spansIn(rest, gaps === 'd');
  const cursor = gapsOnly === 'o' ? Number.POSITIVE_INFINITY : (rest.shift() as number);
  return {
    leaves: new Set([...leaves].map(Number)),
    limit: Number(limit),
    gate,
    strays,
    wants: (position) => position > cursor || isGap(position),
  };
}

/** Takes what says where gaps are. */
function spansIn(values: unknown[], shared: boolean): (position: number) => boolean {
  const numbers = () =>
    String(values.shift())
      .slice(1, -1)
      .split(',')
      .map((text) => (text === 'null' ? null : Number(text)));
  const [low, high] = [numbers() as number[], numbers() as number[]];
  const origin = shared ? numbers() : low.map(() => null);
  const bits = Buffer.from(shared ? String(values.shift()).slice(2) : '', 'hex');
  return (position) => {
    const span = low.findIndex((from, i) => position >= from && position <= (high[i] as number));
    const first = origin[span];
    if (first === undefined || first === null) return span >= 0;
    const bit = position - first;
    return (((bits[bit >>> 3] as number) >>> (bit & 7)) & 1) === 1;
  };
}

function rowOf(position: number): TextRow {
  return [String(position), `event-${position}`, 'a', null, null, null, '\\x', '0'];
}
