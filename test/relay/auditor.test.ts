import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { UncoveredRow } from '../../src/outbox/audit.ts';
import { type Capture, createCapture } from '../../src/outbox/capture.ts';
import { formatMultirange, rangesOf } from '../../src/postgres/position-ranges.ts';
import type { Session } from '../../src/postgres/session.ts';
import { createPlansUnderWay } from '../../src/relay/reading/plans-under-way.ts';
import { createAuditor } from '../../src/relay/upkeep/auditor.ts';
import { silentLogger } from '../../src/telemetry/logger.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createSimulatedDatabase } from '../outbox/simulated-database.ts';

/** Readers that take turns with an auditor at every moment where either waits for the database. */
function createRig(pauses: Iterator<number>) {
  const database = createSimulatedDatabase();
  const log: number[][] = [];
  const underWay = createPlansUnderWay();
  const pause = async () => {
    for (let left = pauses.next().value ?? 0; left > 0; left--) await Promise.resolve();
  };
  const simulated = database.session(() => undefined);
  const session: Session = {
    ...simulated,
    async query(statement) {
      await pause();
      const answer = await answerOf(statement.name, statement.values);
      await pause();
      return answer ?? simulated.query(statement);
    },
    async read(statement, options) {
      await pause();
      await simulated.read(statement, options);
      await pause();
    },
  };

  /** The log as the audit reads it, row by row of one stream. */
  async function answerOf(name: string | undefined, values: readonly unknown[] = []) {
    if (name === 'postcommit_last_rows') return log.length === 0 ? [] : [['a', '', String(log.length)]];
    if (name !== 'postcommit_named_since') return undefined;
    const since = log.slice(Number(values[1])).flat();
    return [[formatMultirange(rangesOf([...new Set(since)].sort((a, b) => a - b)))]];
  }

  const capture = createCapture(session, { cursor: 0, gaps: [] });
  const captures: readonly Capture[] = [capture];
  return {
    database,
    log,
    capture,
    /** A look, planned as `planLook` does it. */
    async advance() {
      await pause();
      const look = await capture.look();
      await pause();
      const planned = underWay.begin(look.events.map(({ position }) => position));
      capture.accept(look);
      for (let i = 0; i < 4; i++) await pause();
      if (look.events.length > 0) log.push(look.events.map(({ position }) => position));
      await pause();
      planned();
      if (!look.cut) await capture.list();
    },
    /** Somebody says that no plan holds these, right or wrong. */
    async audit(rows: readonly UncoveredRow[]) {
      await pause();
      const auditor = createAuditor({
        session,
        captures: () => captures,
        readerOf: () => capture,
        underWay,
        coverage: {
          isOver: () => true,
          readmit: () => undefined,
          uncovered: () => Promise.resolve(new Set()),
        },
        metrics: createMetrics(),
        logger: silentLogger(),
      });
      auditor.offer(0, { rows, seen: new Map() });
      await auditor.turn(0);
    },
  };
}

type Act = (rig: ReturnType<typeof createRig>) => void;
const slot = fc.nat(3);
const writing: fc.Arbitrary<Act> = fc.oneof(
  fc.tuple(slot, fc.integer({ min: 1, max: 4 })).map<Act>(
    ([s, n]) =>
      ({ database }) =>
        database.draw(s, n),
  ),
  slot.map<Act>(
    (s) =>
      ({ database }) =>
        database.commit(s),
  ),
  slot.map<Act>(
    (s) =>
      ({ database }) =>
        database.rollback(s),
  ),
  // At a position that was drawn and left empty, in any leaf.
  fc.tuple(fc.nat(60), fc.nat(7)).map<Act>(([position, segment]) => ({ database, capture }) => {
    const row = database.rows.get(position);
    const isFree = row === undefined || (row.committedAt === null && database.open === 0);
    if (isFree && position <= capture.state.cursor) database.putIn(position, segment);
  }),
);

test('whatever is offered, and whenever, nothing is planned twice, and what no plan holds is planned in the end', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(writing, { maxLength: 60, size: 'max' }),
      fc.infiniteStream(fc.oneof(fc.nat(6), fc.nat(40))),
      async (writes, pauses) => {
        const rig = createRig(pauses);
        const visible = () =>
          [...rig.database.rows.values()]
            .filter(({ committedAt }) => committedAt !== null)
            .map(({ position, segment }) => ({ position, segment, subject: 'a' }));
        for (const write of writes) {
          write(rig);
          // As if no plan held anything, compared with nothing of the log.
          await Promise.all([rig.advance(), rig.audit(visible())]);
        }
        for (let s = 0; s <= 3; s++) rig.database.commit(s);
        for (let i = 0; i < 4; i++) await Promise.all([rig.advance(), rig.audit(visible())]);
        for (let i = 0; i < 4; i++) await rig.advance();
        const planned = rig.log.flat();
        expect(new Set(planned).size, 'an event was planned twice').toBe(planned.length);
        expect(planned.sort((a, b) => a - b)).toEqual(
          visible()
            .map(({ position }) => position)
            .sort((a, b) => a - b),
        );
      },
    ),
    { numRuns: 100, endOnFailure: true },
  );
});
