import pg from 'pg';
import type { Random } from '../../../src/demo/random.ts';
import { startPostgres } from '../../../src/embedded/index.ts';
import { migrate } from '../../../src/migrate/index.ts';
import { createCapture } from '../../../src/outbox/capture.ts';
import { LOOK_SETTINGS } from '../../../src/outbox/read.ts';
import { openSession, type Session } from '../../../src/postgres/session.ts';
import type { Scene } from '../scene.ts';

const WRITERS = 5;
const STEPS = 400;

interface Row {
  /** On the clock of the writers' steps: begun no earlier than this. */
  readonly drawnAt: number;
  committedAt: number | null;
}

/** Transactions that proceed step by step, wherever the reader gives them a turn. */
interface Cast {
  readonly rows: ReadonlyMap<number, Row>;
  step(): Promise<void>;
  /** Draws so many positions in this writer's transaction, which begins with it if none is open. */
  work(writer: number, count: number): Promise<void>;
  end(writer: number, how: 'commit' | 'rollback'): Promise<void>;
  /** Commits what is open; nobody writes any more. */
  endAll(): Promise<void>;
  /** Turns are taken between the reader's statements. */
  improvising: boolean;
}

/** The real capture on a real server; at every statement of its, writers do what the seed says. */
export const capture: Scene = {
  name: 'capture',
  about: 'reads and listings among transactions that draw, roll back and commit at every moment between them',
  async play({ random }) {
    await using postgres = await startPostgres();
    await migrate({ url: postgres.url });
    const clients = Array.from({ length: WRITERS }, () => new pg.Client({ connectionString: postgres.url }));
    for (const client of clients) await client.connect();
    const cast = createCast(clients, random.fork('writers'));
    const direct = await openSession({ url: postgres.url, name: 'capture', settings: LOOK_SETTINGS });
    try {
      const planned = await read(among(direct, cast, random.fork('turns')), cast, random.fork('reader'));
      return { violations: judge(planned, cast.rows), facts: { planned: planned.length } };
    } finally {
      await direct.close();
      await Promise.all(clients.map((client) => client.end()));
    }
  },
};

async function read(session: Session, cast: Cast, random: Random): Promise<number[]> {
  const reader = createCapture(session, { cursor: 0, gaps: [] });
  const planned: number[] = [];
  const look = async () => {
    const seen = await reader.look();
    planned.push(...seen.events.map(({ position }) => position));
    reader.accept(seen);
    return seen.events.length;
  };
  await nextOfTheSameBackend(cast, { look, list: () => reader.list() }, random);
  cast.improvising = true;
  for (let i = 0; i < STEPS; i++) {
    if (random.chance(0.6)) await look();
    else if (random.chance(0.5)) await reader.list();
    else await cast.step();
  }
  await cast.endAll();
  for (let quiet = 0, i = 0; quiet < 4 && i < 200; i++) {
    await reader.list();
    quiet = (await look()) === 0 ? quiet + 1 : 0;
  }
  return planned;
}

/** A large transaction ends, and its backend begins the next before anybody has looked. */
async function nextOfTheSameBackend(
  cast: Cast,
  { look, list }: { look: () => Promise<unknown>; list: () => Promise<unknown> },
  random: Random,
): Promise<void> {
  await cast.work(0, random.between(250, 400));
  for (const step of [look, list, look]) await step();
  await cast.end(0, 'commit');
  await cast.work(0, 1);
  await cast.work(1, 1);
  await cast.end(1, 'commit');
  for (const step of [list, look]) await step();
}

/**
 * Writers get their turns before a statement, while it is under way, and before its answer is looked at: now and then
 * several in a row, for what needs a commit, a new transaction and its commit between two statements.
 */
function among(session: Session, cast: Cast, random: Random): Session {
  const turn = async () => {
    if (!cast.improvising || !random.chance(0.35)) return;
    for (let steps = random.chance(0.3) ? random.between(2, 5) : 1; steps > 0; steps--) await cast.step();
  };
  const amid = async <Answer>(ask: () => Promise<Answer>): Promise<Answer> => {
    await turn();
    const asked = ask();
    asked.catch(() => undefined);
    await turn();
    const answer = await asked;
    await turn();
    return answer;
  };
  return {
    ...session,
    query: (statement) => amid(() => session.query(statement)),
    read: (statement, options) => amid(() => session.read(statement, options)),
  };
}

function createCast(clients: readonly pg.Client[], random: Random): Cast {
  const rows = new Map<number, Row>();
  /** What each writer's open transaction has drawn; null: none is open. */
  const open: (Row[] | null)[] = clients.map(() => null);
  let clock = 0;

  async function draw(writer: number, count: number): Promise<Row[]> {
    const drawnAt = ++clock;
    const result = await clients[writer]?.query<{ position: string }>(
      `insert into postcommit.outbox (subject, payload) select 'a.b', 'x' from generate_series(1, $1::int) returning position`,
      [count],
    );
    return (result?.rows ?? []).map(({ position }) => {
      const row: Row = { drawnAt, committedAt: null };
      rows.set(Number(position), row);
      return row;
    });
  }
  async function end(writer: number, how: 'commit' | 'rollback'): Promise<void> {
    const drawn = open[writer];
    if (drawn === null || drawn === undefined) return;
    await clients[writer]?.query(how);
    open[writer] = null;
    clock++;
    if (how === 'commit') for (const row of drawn) row.committedAt = clock;
  }
  async function work(writer: number, count = sizeOf(random)): Promise<void> {
    if (open[writer] === null) {
      await clients[writer]?.query('begin');
      open[writer] = [];
    }
    if (random.chance(0.1)) {
      await clients[writer]?.query('savepoint before');
      await draw(writer, random.between(1, 3));
      await clients[writer]?.query('rollback to savepoint before');
    }
    open[writer]?.push(...(await draw(writer, count)));
  }
  return {
    rows,
    work,
    end,
    async step() {
      const writer = random.between(0, clients.length - 1);
      if (open[writer] === null || random.chance(0.35)) return work(writer);
      await end(writer, random.chance(0.8) ? 'commit' : 'rollback');
      // The same backend's next transaction is another holder.
      if (random.chance(0.5)) await work(writer);
    },
    improvising: false,
    async endAll() {
      this.improvising = false;
      for (let writer = 0; writer < clients.length; writer++) await end(writer, 'commit');
    },
  };
}

function sizeOf(random: Random): number {
  if (random.chance(0.04)) return random.between(1_100, 1_600);
  return random.chance(0.2) ? random.between(200, 400) : random.between(1, 3);
}

function judge(planned: readonly number[], rows: ReadonlyMap<number, Row>): string[] {
  const once = new Set(planned);
  const committed = [...rows].filter(([, row]) => row.committedAt !== null).map(([position]) => position);
  const lost = committed.filter((position) => !once.has(position));
  const phantoms = planned.filter((position) => rows.get(position)?.committedAt == null);
  const behind: number[] = [];
  let latestDraw = 0;
  for (const position of planned) {
    const row = rows.get(position);
    if (row?.committedAt == null) continue;
    if (latestDraw > row.committedAt) behind.push(position);
    latestDraw = Math.max(latestDraw, row.drawnAt);
  }
  return [
    ...several('G1 loss', lost, 'committed and never read'),
    ...several('G2 phantom', phantoms, 'read and never committed'),
    ...several(
      'G3 twice',
      planned.length > once.size ? [planned.length - once.size] : [],
      'read more than once',
    ),
    ...several('G4 order', behind, 'behind an event that was drawn after its commit'),
  ];
}

function several(title: string, positions: readonly number[], what: string): string[] {
  return positions.length === 0
    ? []
    : [`${title}: ${positions.length}: ${positions.slice(0, 3).join(', ')} ${what}`];
}
