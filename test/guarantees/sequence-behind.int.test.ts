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
  expect(relay.lines.map(({ event }) => event)).toContain('sequence-moved');
  await stage.write(50);
  await stage.untilDrained();
  expect(await stage.faults()).toEqual([]);
});
