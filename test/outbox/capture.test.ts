import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Capture, type CaptureStart, createCapture, type Look } from '../../src/outbox/capture.ts';
import { complementOf, rangesOf } from '../../src/postgres/position-ranges.ts';
import { createSimulatedDatabase, type SimulatedDatabase } from './simulated-database.ts';

/** Capture as the relay drives it: looks are planned in a log, a restart begins from the log alone. */
function createRig(turns: () => void = () => undefined) {
  const database = createSimulatedDatabase();
  const log: { positions: number[]; readTo: number; openFrom: number }[] = [];
  const session = database.session(() => turns());
  const start = (from: CaptureStart) => createCapture(session, from);
  let capture: Capture = start({ cursor: 0, gaps: [] });

  function plan(look: Look): void {
    const { readTo, openFrom } = look;
    if (look.events.length > 0)
      log.push({ positions: look.events.map((event) => event.position), readTo, openFrom });
    capture.accept(look);
  }
  async function look(): Promise<Look> {
    const seen = await capture.look();
    plan(seen);
    return seen;
  }
  return {
    database,
    log,
    look,
    get capture() {
      return capture;
    },
    list: () => capture.list(),
    /** Planned, in order. */
    planned: () => log.flatMap(({ positions }) => positions),
    restart() {
      const last = log.at(-1);
      const cursor = last?.readTo ?? 0;
      const covered = rangesOf(log.flatMap(({ positions }) => positions).sort((a, b) => a - b));
      capture = start({ cursor, gaps: complementOf(covered, last?.openFrom ?? 1, cursor) });
    },
    /** Looks until nothing more is to be seen; the bound is what the rows themselves need, and a few. */
    async drain() {
      for (let i = 0; i < 20 + database.rows.size / 100; i++) {
        const seen = await look();
        if (i % 4 === 3) await capture.list();
        if (seen.events.length === 0 && !seen.cut && !seen.gaps.cutOff && i > 8) return;
      }
      throw new Error('looks do not come to an end');
    },
  };
}

type Rig = ReturnType<typeof createRig>;

/** Each event once, and none of a rollback. */
function expectOnce({ database, planned }: Rig): void {
  const positions = planned();
  expect(new Set(positions).size, 'an event was planned twice').toBe(positions.length);
  for (const position of positions) {
    if (database.rows.get(position)?.committedAt == null)
      throw new Error(`position ${position} was never committed`);
  }
}

/** And none before one that was committed before it was drawn. */
function expectFaithful(rig: Rig): void {
  expectOnce(rig);
  let latestDraw = 0;
  for (const position of rig.planned()) {
    const row = rig.database.rows.get(position);
    if (row?.committedAt == null) continue;
    if (latestDraw > row.committedAt) throw new Error(`position ${position} comes after its effects`);
    latestDraw = Math.max(latestDraw, row.drawnAt);
  }
}

function expectComplete({ database, planned }: Rig): void {
  const got = new Set(planned());
  const skipped = [...database.rows.values()].filter(
    (row) => row.committedAt !== null && !got.has(row.position),
  );
  expect(skipped, 'committed events were skipped').toEqual([]);
}

type Step = (rig: Rig) => Promise<unknown> | unknown;

const slot = fc.nat(5);
const few = fc.integer({ min: 1, max: 3 });
const many = fc.integer({ min: 150, max: 900 });
/** What the writers do, at any moment, also while a read or a listing is under way. */
const writing: fc.Arbitrary<(database: SimulatedDatabase) => void> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.tuple(slot, few).map(
      ([s, n]) =>
        (db: SimulatedDatabase) =>
          db.draw(s, n),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(slot, many).map(
      ([s, n]) =>
        (db: SimulatedDatabase) =>
          db.draw(s, n),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(slot, few).map(
      ([s, n]) =>
        (db: SimulatedDatabase) =>
          db.draw(s, n, { rolledBackToSavepoint: true }),
    ),
  },
  {
    weight: 2,
    // Two transactions by turns: as many gaps as positions.
    arbitrary: fc.tuple(slot, slot, many).map(([a, b, n]) => (db: SimulatedDatabase) => {
      for (let i = 0; i < n; i++) db.draw(i % 2 === 0 ? a : b, 1);
    }),
  },
  { weight: 1, arbitrary: slot.map((s) => (db: SimulatedDatabase) => db.begin(s)) },
  { weight: 6, arbitrary: slot.map((s) => (db: SimulatedDatabase) => db.commit(s)) },
  { weight: 2, arbitrary: slot.map((s) => (db: SimulatedDatabase) => db.rollback(s)) },
);
const driving: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: fc.constant<Step>((rig) => rig.look()) },
  { weight: 5, arbitrary: fc.constant<Step>((rig) => rig.list()) },
  // Its plan failed: nothing was accepted.
  { weight: 1, arbitrary: fc.constant<Step>((rig) => rig.capture.look()) },
  { weight: 1, arbitrary: fc.constant<Step>((rig) => rig.restart()) },
  // The leader's own switch, and one by a stranger's hand that a look notices.
  {
    weight: 1,
    arbitrary: fc.nat(7).map<Step>((to) => (rig) => {
      rig.capture.addSegment(to);
      rig.database.pointInsertsTo(to);
    }),
  },
  {
    weight: 1,
    arbitrary: fc.nat(7).map<Step>((to) => async (rig) => {
      await rig.look();
      rig.database.pointInsertsTo(to);
      await rig.look();
    }),
  },
);

const historyOf = (steps: fc.Arbitrary<Step>) =>
  fc.record({
    writes: fc.array(writing, { maxLength: 120, size: 'max' }),
    /** How many writes go through at each moment where others get their turn. */
    pace: fc.infiniteStream(
      fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 4 })),
    ),
    steps: fc.array(steps, { maxLength: 60, size: 'max' }),
  });

type History = ReturnType<typeof historyOf> extends fc.Arbitrary<infer T> ? T : never;

/** Plays a history to its end, when nobody writes any more and every gap is closed. */
async function play({ writes, pace, steps }: History): Promise<Rig> {
  let next = 0;
  const rig = createRig(() => {
    for (let i = pace.next().value ?? 0; i > 0; i--) writes[next++]?.(rig.database);
  });
  for (const step of steps) await step(rig);
  next = writes.length;
  await rig.drain(); // Others may be open: their events alone are missing.
  expectComplete(rig);
  for (let s = 0; s <= 5; s++) rig.database.commit(s);
  await rig.drain();
  await rig.list();
  await rig.drain();
  expectComplete(rig);
  expect(rig.capture.state.gapsOpen).toBe(0);
  return rig;
}

describe('whatever writers do while it reads and lists', () => {
  test('every committed event is planned once, no other, causes before effects; and gaps close', async () => {
    await fc.assert(
      fc.asyncProperty(historyOf(driving), async (history) => {
        expectFaithful(await play(history));
      }),
      // Its functions would shrink for minutes to nothing readable: the seed repeats the run.
      { numRuns: 300, endOnFailure: true },
    );
  });

  test('also when strangers switch leaves to and fro between two looks; only the order of these events is lost', async () => {
    const unseenSwitch = fc.tuple(fc.nat(7), slot, few).map<Step>(([to, s, n]) => ({ database }) => {
      const back = database.segment;
      database.pointInsertsTo(to);
      database.draw(s, n);
      database.pointInsertsTo(back);
    });
    const steps = fc.oneof({ weight: 4, arbitrary: driving }, { weight: 1, arbitrary: unseenSwitch });
    await fc.assert(
      fc.asyncProperty(historyOf(steps), async (history) => {
        expectOnce(await play(history));
      }),
      { numRuns: 200, endOnFailure: true },
    );
  });
});

describe('a switch of the leaf to and fro that no look has seen', () => {
  test.each([
    ['its insert still open at the next look', false],
    ['its insert committed before the next look', true],
  ])('does not close a gap unread: %s', async (_, committed) => {
    const rig = createRig();
    const { database } = rig;
    await rig.drain(); // Only leaf 0 is live.
    expect(rig.capture.state.liveSegments).toEqual([0]);
    database.pointInsertsTo(5);
    database.draw(0, 2);
    database.pointInsertsTo(0);
    if (committed) database.commit(0);
    database.draw(1, 1);
    database.commit(1);
    await rig.look();
    database.commit(0);
    await rig.drain();
    expectComplete(rig);
    expectOnce(rig);
    await rig.list();
    await rig.list();
    expect(rig.capture.state.liveSegments).toEqual([0]);
  });
});

describe('rows that were passed over', () => {
  /** 1 to 20 planned but for the rolled-back 5 to 8, no gap open, only leaf 0 live. */
  async function passed() {
    const rig = createRig();
    const { database } = rig;
    database.draw(0, 4);
    database.draw(1, 4);
    database.draw(0, 12);
    database.commit(0);
    database.rollback(1);
    await rig.drain();
    expect(rig.capture.state).toMatchObject({ cursor: 20, gapsOpen: 0, liveSegments: [0] });
    return rig;
  }

  test('are found by the next look once they are open again, wherever they lie, and only once', async () => {
    const rig = await passed();
    rig.database.putIn(6, 3);
    rig.database.putIn(7, 0);
    await rig.drain();
    expect(rig.planned()).not.toContain(6);
    const rows = [
      { segment: 0, ranges: [7, 7] },
      { segment: 3, ranges: [6, 6] },
    ];
    expect(rig.capture.reopen(rows)).toEqual([6, 7]);
    expect(rig.capture.reopen(rows)).toEqual([]);
    expect(rig.capture.state).toMatchObject({ openFrom: 6, gapsOpen: 1 });
    expect((await rig.look()).events.map(({ position }) => position)).toEqual([6, 7]);
    await rig.drain();
    expectOnce(rig);
    expectComplete(rig);
    expect(rig.capture.state).toMatchObject({ gapsOpen: 0, liveSegments: [0] });
  });

  test('above the cursor in a leaf that nobody reads are read too', async () => {
    const rig = await passed();
    rig.database.putIn(25, 4);
    await rig.drain();
    expect(rig.planned()).not.toContain(25);
    expect(rig.capture.reopen([{ segment: 4, ranges: [25, 25] }])).toEqual([25, 25]);
    expect(rig.capture.reopen([{ segment: 4, ranges: [25, 25] }])).toEqual([]);
    await rig.drain();
    expectOnce(rig);
    expectComplete(rig);
  });

  test('that never come again leave a gap that closes', async () => {
    const rig = await passed();
    rig.capture.reopen([{ segment: 2, ranges: [-3, 0] }]);
    expect(rig.capture.state).toMatchObject({ openFrom: -3, gapsOpen: 1 });
    await rig.drain();
    expect(rig.capture.state).toMatchObject({ openFrom: 21, gapsOpen: 0, liveSegments: [0] });
  });

  test('while another look is under way: the gaps of both stay apart', async () => {
    const rig = await passed();
    rig.database.draw(2, 3);
    rig.database.draw(3, 2);
    rig.database.commit(3);
    const underWay = await rig.capture.look();
    rig.database.putIn(6, 0);
    expect(rig.capture.reopen([{ segment: 0, ranges: [6, 6, 21, 25] }])).toEqual([6, 6]);
    rig.log.push({
      positions: underWay.events.map(({ position }) => position),
      readTo: underWay.readTo,
      openFrom: underWay.openFrom,
    });
    rig.capture.accept(underWay);
    rig.database.commit(2);
    await rig.drain();
    expectOnce(rig);
    expectComplete(rig);
  });
});

/** As many gaps of transaction 0, each between two events of others. */
function leaveGaps({ database }: Rig, count: number): void {
  for (let i = 0; i < count; i++) {
    database.draw(0, 1);
    database.draw(1, 1);
    database.commit(1);
  }
}

describe('many gaps', () => {
  /** How many ranges the looks went into, per gap, while others write beside transaction 0 and end at once. */
  async function rangesLookedInto(rig: Rig, { rounds, gapsEach, listEvery }: Record<string, number>) {
    let ranges = 0;
    for (let i = 1; i <= (rounds as number); i++) {
      leaveGaps(rig, gapsEach as number);
      ranges += (await rig.look()).gaps.ranges.length / 2;
      if (i % (listEvery as number) === 0) await rig.list();
    }
    return ranges / ((rounds as number) * (gapsEach as number));
  }

  test.each([
    [1, 1],
    [5, 3],
  ])(
    'are looked into once after each listing that they are new to, listing after %i looks',
    async (listEvery, times) => {
      const rig = createRig();
      expect(await rangesLookedInto(rig, { rounds: 40, gapsEach: 60, listEvery })).toBeLessThanOrEqual(times);
      // The same holds for new ones when there are many already.
      expect(await rangesLookedInto(rig, { rounds: 40, gapsEach: 60, listEvery })).toBeLessThanOrEqual(times);
      expect(rig.capture.state.gapsOpen).toBe(4_800);
    },
  );

  test.each([
    ['commits', 'commit'],
    ['rolls back', 'rollback'],
  ] as const)('are looked into once more when their transaction %s', async (_, end) => {
    const rig = createRig();
    leaveGaps(rig, 3_000);
    await rig.drain();
    expect((await rig.look()).gaps.ranges).toEqual([]);
    rig.database[end](0);
    let ranges = 0;
    for (let looks = 0; rig.capture.state.gapsOpen > 0 && looks < 20; looks++) {
      const look = await rig.look();
      ranges += look.gaps.ranges.length / 2;
    }
    expect(rig.capture.state.gapsOpen).toBe(0);
    // In portions of twice what one look brings.
    expect(ranges).toBeLessThanOrEqual(end === 'commit' ? 3 * 3_000 : 3_000);
    await rig.drain();
    expectComplete(rig);
    expectFaithful(rig);
  });

  test('of one transaction stay shut when another one ends', async () => {
    const rig = createRig();
    const { database } = rig;
    leaveGaps(rig, 500);
    await rig.drain();
    database.draw(2, 300);
    leaveGaps(rig, 1);
    await rig.drain();
    database.commit(2);
    const look = await rig.look();
    expect(look.events).toHaveLength(300);
    expect(look.gaps.ranges.length / 2).toBeLessThan(10);
    await rig.drain();
    expectFaithful(rig);
  });

  test('of one open transaction do not hold up a backlog that takes several looks', async () => {
    const rig = createRig();
    const { database } = rig;
    leaveGaps(rig, 3_000);
    await rig.drain();
    database.draw(2, 5_000);
    database.commit(2);
    rig.restart();
    await rig.drain();
    expectComplete(rig);
    expectFaithful(rig);
  });

  test('are not closed above those that a look was limited to', async () => {
    const rig = createRig();
    const { database } = rig;
    leaveGaps(rig, 3_000);
    database.draw(3, 2);
    await rig.drain();
    database.draw(2, 5_000);
    database.commit(2);
    expect((await rig.look()).cut).toBe(true);
    database.rollback(0);
    database.commit(3);
    await rig.list();
    const lowest = await rig.look();
    expect([lowest.gaps.cutOff, lowest.events.length]).toEqual([true, 0]);
    await rig.drain();
    expectComplete(rig);
    expectFaithful(rig);
  });
});
