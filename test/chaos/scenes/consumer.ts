import { consume } from '../../../src/consumer/index.ts';
import { type Act, createDirectedScene } from '../directed/act.ts';
import { until } from '../directed/waiting.ts';

/** Each handler fails once, behind what it has written. */
const failsOnce: Act = {
  name: 'handlers that fail at first',
  async play(stage, random) {
    await stage.startRelay();
    const events = random.between(5, 20);
    await stage.pool.query('create table effect (event_id text)');
    const failed = new Set<string>();
    const consumer = await consume(
      {
        nats: stage.nats.url,
        stream: stage.stream,
        durable: 'effects',
        subjects: [stage.subject],
        db: stage.pool,
        // With an order, retries happen in place, and no acknowledgement could come too early for them.
        order: 'none',
        backoff: { firstMs: 10, maxMs: 50 },
      },
      async (event, { tx }) => {
        await tx.query('insert into effect values ($1)', [event.id]);
        if (failed.has(event.id)) return;
        failed.add(event.id);
        throw new Error('not yet');
      },
    );
    try {
      await stage.write(events);
      const counts = async () => {
        const { rows } = await stage.pool.query(
          'select count(*)::int as effects, count(distinct event_id)::int as events from effect',
        );
        return rows[0] as { effects: number; events: number };
      };
      await until(async () => (await counts()).events === events, 8_000);
      const found = await counts();
      return found.effects === events && found.events === events
        ? []
        : [`G5 effects: ${events} events had ${found.effects} effects, ${found.events} of them one at least`];
    } finally {
      await consumer.stop();
    }
  },
};

export const consumer = createDirectedScene({
  name: 'consumer',
  about: 'handlers that fail at first: one effect each in the end',
  acts: [failsOnce],
});
