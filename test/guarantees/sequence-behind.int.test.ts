import { expect, test } from 'vitest';
import { openStage } from './stage.ts';

test('a position sequence set back is moved past what was read, and no later event is passed over', async () => {
  await using stage = await openStage();
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  await stage.write(50);
  await stage.untilDrained();
  await stage.pool.query('alter sequence postcommit.outbox_position_seq restart with 10');
  await expect
    .poll(
      async () => (await stage.pool.query('select last_value from postcommit.outbox_position_seq')).rows[0],
      {
        timeout: 15_000,
        interval: 100,
      },
    )
    .toEqual({ last_value: expect.stringMatching(/^\d{7,}$/) });
  await expect.poll(() => relay.lines.map(({ event }) => event)).toContain('sequence-moved');
  await stage.write(50);
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
});

test.each([
  { by: 'a RESTART', statement: 'alter sequence postcommit.outbox_position_seq restart' },
  { by: 'a restore', statement: "select setval('postcommit.outbox_position_seq', 7)" },
])(
  'set back by $by while no relay runs, it is moved before the first event is looked for',
  async ({ statement }) => {
    await using stage = await openStage();
    {
      await using relay = await stage.startRelay();
      await relay.until('publishing');
      await stage.write(50);
      await stage.untilDrained();
      await relay.relay.stop();
    }
    await stage.pool.query(statement);
    // Positions that are taken: the writers notice, and nothing of theirs is lost.
    await expect(stage.write(1)).rejects.toThrow('outbox_0_pkey');
    await using relay = await stage.startRelay();
    await relay.until('publishing');
    expect(relay.lines.map(({ event }) => event)).toContain('sequence-moved');
    await stage.write(50);
    await stage.untilDrained();
    expect(await stage.faults()).toEqual([]);
  },
);

const refusal = {
  code: 'database-unsuitable',
  message: expect.stringContaining('outbox_position_seq'),
  hint: expect.stringContaining('ALTER SEQUENCE'),
};

test.each(['cache 10', 'increment 2', 'cycle'])(
  'a position sequence with "%s" is refused at the start',
  async (setting) => {
    await using stage = await openStage();
    await stage.pool.query(`alter sequence postcommit.outbox_position_seq ${setting}`);
    await expect(stage.startRelay()).rejects.toMatchObject(refusal);
  },
);

test('a position sequence that is changed later stops the relay, which says what to do and then goes on', async () => {
  await using stage = await openStage();
  await using relay = await stage.startRelay();
  await relay.until('publishing');
  await stage.pool.query('alter sequence postcommit.outbox_position_seq cache 10');
  await expect
    .poll(() => relay.relay.status().reason, { timeout: 15_000, interval: 20 })
    .toContain('ALTER SEQUENCE');
  await stage.pool.query('alter sequence postcommit.outbox_position_seq cache 1 increment 1 no cycle');
  await relay.until('publishing');
  await stage.write(5);
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
});
