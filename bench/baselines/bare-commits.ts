import type { StartConsuming } from './consumer-child.ts';

/**
 * What PostgreSQL and one connection allow: begin, a row of an inbox, a row of effects, commit, one after the other. No
 * NATS, no order, and nothing that a crash or a second instance could not spoil.
 */
export const commitAlone: StartConsuming = async ({ task, pool, onEvent }) => {
  let stopped = false;
  const payload = new Uint8Array();
  const loop = async () => {
    const client = await pool.connect();
    for (let sequence = 1; !stopped; sequence++) {
      const id = `${task.durable}-${sequence}`;
      onEvent(payload);
      await client.query('begin');
      await client.query('insert into baseline_inbox (consumer, event_id) values ($1, $2)', [
        task.durable,
        id,
      ]);
      await client.query('insert into effects (event_id, key, sequence) values ($1, $2, $3)', [
        id,
        null,
        sequence,
      ]);
      await client.query('commit');
    }
    client.release();
  };
  const looping = loop();
  looping.catch(() => undefined); // Thrown by stop().
  return {
    async stop() {
      stopped = true;
      await looping;
    },
  };
};
