import { headers as newHeaders } from '@nats-io/transport-node';
import type { Driver } from '../driver.ts';
import type { Stage } from '../stage.ts';
import { eventually } from '../verdict.ts';

/** A message as the script publishes it, like the relay or like anybody else. */
export interface Message {
  readonly subject: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly payload?: string;
}

/** What a client has written of an event. */
export interface Effect {
  readonly eventId: string;
  readonly subject: string;
  readonly key: string | null;
  readonly type: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: string;
  readonly tx: string;
}

/** How far the server says that the durable has got. */
export interface Progress {
  /** Everything up to this sequence of the stream is settled, as far as the durable is concerned. */
  readonly settledTo: number;
  readonly unsettled: number;
  readonly deliveries: number;
  readonly waitingPulls: number;
}

/** A durable and subjects of one rule. */
export interface Scene {
  readonly stage: Stage;
  readonly durable: string;
  subject(name: string): string;
  /** Starts the client and lets it consume. */
  consume(options?: ConsumeOptions): Promise<Driver>;
  /** Stores it; returns its sequence. */
  publish(message: Message): Promise<number>;
  effects(): Promise<readonly Effect[]>;
  progress(): Promise<Progress>;
  /** Waits until nothing up to this sequence is left to deliver. @throws Unmet */
  settled(sequence: number): Promise<void>;
  /** Waits for so many effects. @throws Unmet */
  effect(count: number): Promise<readonly Effect[]>;
}

export interface ConsumeOptions {
  readonly natsUrl?: string;
  readonly databaseUrl?: string;
  readonly order?: 'key';
  readonly maxAttempts?: number;
}

export interface SceneOptions {
  readonly ackWaitMs?: number;
  /** The client makes it. */
  readonly withoutDurable?: true;
}

/** Long enough for a slow machine, short enough to wait for. */
const ACK_WAIT_MS = 2_000;
const NANOS_PER_MS = 1_000_000;

export async function openScene(stage: Stage, options: SceneOptions = {}): Promise<Scene> {
  const { db, js, manager, stream } = stage;
  const { ackWaitMs = ACK_WAIT_MS, withoutDurable } = options;
  const base = stage.subject('c');
  const durable = base.replaceAll('.', '_');
  const subjects = [`${base}.>`];
  if (withoutDurable === undefined)
    await manager.consumers.add(stream, {
      durable_name: durable,
      filter_subject: `${base}.>`,
      ack_policy: 'explicit',
      ack_wait: ackWaitMs * NANOS_PER_MS,
      max_ack_pending: 1_000,
    });

  const scene: Scene = {
    stage,
    durable,
    subject: (name) => `${base}.${name}`,
    async consume({ order, maxAttempts, ...urls } = {}) {
      const driver = stage.drive(urls);
      try {
        const more = { ...(order && { order }), ...(maxAttempts && { maxAttempts }) };
        await driver.do({ do: 'consume', stream, durable, subjects, ackWaitMs, ...more });
        return driver;
      } catch (error) {
        await driver.kill();
        throw error;
      }
    },
    async publish({ subject, headers = {}, payload = '{}' }) {
      const block = newHeaders();
      for (const [name, value] of Object.entries(headers)) block.set(name, value);
      return (await js.publish(subject, payload, { headers: block })).seq;
    },
    async effects() {
      const { rows } = await db.query<Effect>(
        `SELECT event_id AS "eventId", subject, key, type, headers, convert_from(payload, 'UTF8') AS payload, tx::text
           FROM conformance.effects WHERE consumer = $1 ORDER BY n`,
        [durable],
      );
      return rows;
    },
    async progress() {
      const info = await manager.consumers.info(stream, durable);
      return {
        // Behind the last one delivered there may be none of its subjects.
        settledTo: info.num_ack_pending === 0 ? info.delivered.stream_seq : info.ack_floor.stream_seq,
        unsettled: info.num_ack_pending,
        deliveries: info.delivered.consumer_seq,
        waitingPulls: info.num_waiting,
      };
    },
    async settled(sequence) {
      await eventually(
        `the message at sequence ${sequence} to be acknowledged`,
        async () => (await scene.progress()).settledTo >= sequence,
        {
          seen: async () => `it is not: ${JSON.stringify(await scene.progress())}`,
        },
      );
    },
    async effect(count) {
      const look = async () => {
        const effects = await scene.effects();
        return effects.length >= count && effects;
      };
      return eventually(`${count} effect${count === 1 ? '' : 's'}`, look, {
        seen: async () => `there were ${(await scene.effects()).length}`,
      });
    },
  };
  return scene;
}

/** Holds the COMMIT of an effect of this subject back until it is opened. */
export interface Gate {
  /** Waits until a COMMIT stands before it. @throws Unmet */
  reached(): Promise<void>;
  /** Ends the session of whoever stands before it: nothing of that is committed. */
  expel(): Promise<void>;
  open(): Promise<void>;
}

export async function shutGate({ db }: Stage, subject: string): Promise<Gate> {
  const keeper = await db.connect();
  await keeper.query('SELECT pg_advisory_lock(hashtext($1), 0)', [subject]);
  const before = async () => {
    const { rows } = await db.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'`,
    );
    return rows.map(({ pid }) => pid);
  };
  let isOpen = false;
  return {
    async reached() {
      await eventually('a COMMIT with the effect of the event', async () => (await before()).length > 0, {
        seen: () => 'there was none',
      });
    },
    async expel() {
      await db.query('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid', [await before()]);
      await eventually('the session to end', async () => (await before()).length === 0, {
        seen: () => 'it did not',
      });
    },
    async open() {
      if (isOpen) return;
      isOpen = true;
      await keeper.query('SELECT pg_advisory_unlock_all()');
      keeper.release();
    },
  };
}

/** Makes effects of this subject fail, until it is called off. */
export async function failing({ db }: Stage, subject: string) {
  const failures = async () => {
    const { rows } = await db.query<{ n: number }>(
      'SELECT CASE WHEN is_called THEN last_value ELSE 0 END::int AS n FROM conformance.failures',
    );
    return rows[0]?.n ?? 0;
  };
  const before = await failures();
  await db.query('INSERT INTO conformance.failing VALUES ($1)', [subject]);
  const count = async () => (await failures()) - before;
  return {
    count,
    async reached(attempts: number): Promise<void> {
      await eventually(
        `${attempts} attempts at an event whose effect fails`,
        async () => (await count()) >= attempts,
        {
          seen: async () => `there were ${await count()}`,
        },
      );
    },
    async over(): Promise<void> {
      await db.query('DELETE FROM conformance.failing WHERE subject = $1', [subject]);
    },
  };
}
