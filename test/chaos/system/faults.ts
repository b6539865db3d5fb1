import { jetstream } from '@nats-io/jetstream';
import { sleep } from '../../../src/lifecycle/abort.ts';
import type { TcpProxy } from '../../../src/testing/index.ts';
import { query } from '../../support/query.ts';
import type { Damage, Fault, Link } from './plan.ts';
import { POINTS, type Point, type PointName } from './points.ts';
import type { RelayPlace } from './relays.ts';
import type { World } from './world.ts';

/** Does one fault, lets it last, and undoes it. Returns what there is to measure. */
export async function doHarm(world: World, fault: Fault, lastsMs: number): Promise<Harm> {
  switch (fault.kind) {
    case 'kill-at-point':
      return killAtPoint(world, fault);
    case 'freeze-leader':
      return freezeLeader(world, fault.leases);
    case 'block-leader':
      return blockLeader(world);
    case 'stop-leader':
      return stopLeader(world);
    case 'network':
      return damageNetwork(world, { ...fault, lastsMs });
    case 'cut-before-ack':
      return cutBeforeAck(world, fault.publishes);
    case 'crash-postgres':
      return crashPostgres(world, 0);
    case 'postgres-down':
      return crashPostgres(world, lastsMs);
    case 'end-sessions':
      return endSessions(world, fault.whose);
    case 'forged-notifications':
      return forgeNotifications(world, lastsMs);
    case 'kill-consumer':
    case 'freeze-consumer':
      return harmConsumer(world, { freezes: fault.kind === 'freeze-consumer', lastsMs });
    case 'kill-writers':
      return killWriters(world);
    default:
      return harmBroker(world, fault.kind, lastsMs);
  }
}

/** How long a standby, or a relay started anew, took to store the next event. */
export interface Harm {
  readonly takeover?: { readonly after: 'kill' | 'freeze'; readonly ms: number };
  /** What did not come about, and the fault was a milder one. */
  readonly remark?: string;
}

const POINT_WITHIN_MS = 3_000;
const NEXT_EVENT_WITHIN_MS = 15_000;

async function killAtPoint(
  world: World,
  { point, both }: { point: PointName; both: boolean },
): Promise<Harm> {
  const leader = await world.leader();
  if (leader === undefined) return { remark: 'nobody led' };
  const victims = both ? world.relays : [leader];
  const kill = async () => {
    await Promise.all(victims.map((victim) => victim.end('SIGKILL')));
  };
  // Points of a term's beginning are reached by the one that takes over.
  const begins = point === 'lead taken' || point === 'log fenced' || point === 'log read';
  const reached = atPoint(begins ? world.relays : [leader], POINTS[point], kill);
  if (begins) await endSessions(world, 'relay');
  const inTime = await reached;
  if (!inTime) await kill();
  const measured = await nextEvent(world, both || begins ? undefined : 'kill', victims);
  return inTime ? measured : { ...measured, remark: 'the point was not reached: killed all the same' };
}

/** Acts when one of these relays reaches the point, while what has passed there is held back. False: none did in time. */
async function atPoint(
  relays: readonly RelayPlace[],
  point: Point,
  act: () => Promise<void> | void,
): Promise<boolean> {
  const reached = Promise.withResolvers<true>();
  const onReached = async () => {
    await act();
    reached.resolve(true);
  };
  const undo = relays.map(({ lookouts }) => lookouts[point.server].await(point, onReached));
  const inTime = await Promise.race([reached.promise, sleep(POINT_WITHIN_MS).then(() => false)]);
  for (const each of undo) each();
  return inTime;
}

/** Starts those who died, and waits for the next event that is stored. */
async function nextEvent(
  world: World,
  after: 'kill' | 'freeze' | undefined,
  dead: readonly RelayPlace[] = [],
): Promise<Harm> {
  const startedAtMs = performance.now();
  const before = await lastSequence(world);
  const standby = world.relays.some((relay) => relay.ready && !relay.frozen);
  if (!standby) for (const relay of dead) relay.start();
  while ((await lastSequence(world)) <= before) {
    if (performance.now() - startedAtMs > NEXT_EVENT_WITHIN_MS) break;
    await sleep(10);
  }
  const ms = Math.round(performance.now() - startedAtMs);
  for (const relay of dead) relay.start();
  return after === undefined || !standby ? {} : { takeover: { after, ms } };
}

async function lastSequence({ brokers, stream }: World): Promise<number> {
  return brokers.patiently(async (jsm) => (await jsm.streams.info(stream)).state.last_seq);
}

async function freezeLeader(world: World, leases: number): Promise<Harm> {
  const leader = await world.leader();
  if (leader === undefined) return { remark: 'nobody led' };
  leader.signal('SIGSTOP');
  const since = performance.now();
  const measured = await nextEvent(world, 'freeze');
  await sleep(Math.max(0, leases * world.leaseTtlMs - (performance.now() - since)));
  leader.signal('SIGCONT');
  return measured;
}

async function blockLeader(world: World): Promise<Harm> {
  const leader = await world.leader();
  leader?.signal('SIGUSR2');
  await sleep(2 * world.leaseTtlMs);
  return {};
}

async function stopLeader(world: World): Promise<Harm> {
  const leader = await world.leader();
  leader?.signal('SIGTERM');
  await Promise.race([leader?.child?.exited, sleep(10_000)]);
  leader?.start();
  return {};
}

interface NetworkDamage {
  readonly link: Link;
  readonly damage: Damage;
  readonly lastsMs: number;
}

async function damageNetwork(world: World, { link, damage, lastsMs }: NetworkDamage): Promise<Harm> {
  const [who, server] = link.split('-') as ['relay' | 'consumer' | 'writers', 'postgres' | 'nats'];
  const places = {
    relay: async () => [await world.leader()],
    consumer: async () => world.consumers,
    writers: async () => [world.writers],
  };
  const concerned = await places[who]();
  const proxies = concerned.flatMap((place) => place?.ways[server] ?? []);
  if (proxies.length === 0) return { remark: 'a cluster has no proxies' };
  for (const proxy of proxies) INFLICT[damage](proxy);
  await sleep(lastsMs);
  for (const place of concerned) await place?.ways.heal();
  return {};
}

const INFLICT: Readonly<Record<Damage, (proxy: TcpProxy) => void>> = {
  cut: (proxy) => proxy.cut(),
  delay: (proxy) => proxy.delay(150),
  'black-hole': (proxy) => proxy.blackHole({ links: 'all' }),
  'one-way': (proxy) => proxy.swallow({ direction: 'down' }),
  'half-open': (proxy) => proxy.halfOpen('server'),
  split: (proxy) => proxy.split(7),
  refuse(proxy) {
    proxy.refuse();
    proxy.cut();
  },
};

/** Messages are stored, and their acknowledgements lost with the connection. */
async function cutBeforeAck(world: World, publishes: number): Promise<Harm> {
  const leader = await world.leader();
  const nats = leader?.ways.nats;
  if (leader === undefined || nats === undefined) return { remark: 'a cluster has no proxies' };
  const point: Point = { server: 'nats', mark: 'HPUB ', when: 'answered', after: publishes };
  await atPoint([leader], point, () => nats.cut());
  return {};
}

async function crashPostgres({ postgres }: World, downMs: number): Promise<Harm> {
  await postgres.stop('immediate');
  await sleep(downMs);
  await postgres.start();
  return {};
}

async function endSessions({ postgres }: World, whose: 'relay' | 'everybody'): Promise<Harm> {
  const which = whose === 'relay' ? "application_name like 'postcommit%'" : 'pid <> pg_backend_pid()';
  await query(
    postgres.url,
    `select pg_terminate_backend(pid) from pg_stat_activity
     where backend_type = 'client backend' and ${which}`,
  );
  return {};
}

/** Anybody who may connect may notify. */
async function forgeNotifications({ postgres }: World, lastsMs: number): Promise<Harm> {
  const until = performance.now() + lastsMs;
  while (performance.now() < until) {
    await query(
      postgres.url,
      "select pg_notify('postcommit', repeat('x', i % 2000)) from generate_series(1, 200) i",
    );
  }
  return {};
}

async function harmConsumer(
  { consumers }: World,
  { freezes, lastsMs }: { freezes: boolean; lastsMs: number },
): Promise<Harm> {
  const [victim] = consumers;
  victim?.signal(freezes ? 'SIGSTOP' : 'SIGKILL');
  await sleep(lastsMs);
  if (freezes) victim?.signal('SIGCONT');
  else victim?.start();
  return {};
}

async function killWriters({ writers }: World): Promise<Harm> {
  await writers.end('SIGKILL');
  writers.start();
  return {};
}

type BrokerFault = Extract<
  Fault['kind'],
  | 'crash-nats'
  | 'freeze-nats'
  | 'lose-tail'
  | 'step-down'
  | 'lose-majority'
  | 'lower-limit'
  | 'fill-stream'
  | 'foreign-writer'
>;

async function harmBroker(world: World, kind: BrokerFault, lastsMs: number): Promise<Harm> {
  const { brokers } = world;
  switch (kind) {
    case 'crash-nats':
      await brokers.signalLeader('SIGKILL');
      await sleep(lastsMs / 2);
      break;
    case 'freeze-nats':
      brokers.signalMajority('SIGSTOP');
      await sleep(lastsMs);
      brokers.signalMajority('SIGCONT');
      break;
    case 'lose-majority':
      brokers.signalMajority('SIGKILL');
      await sleep(lastsMs);
      break;
    case 'lose-tail':
      await brokers.keepStore();
      await sleep(lastsMs);
      await brokers.restoreStore();
      break;
    case 'step-down':
      await brokers.stepDown();
      break;
    case 'lower-limit':
      await withLimit(world, { max_msg_size: OVERSIZE_BYTES }, lastsMs);
      break;
    case 'fill-stream':
      await fillStream(world, lastsMs);
      break;
    case 'foreign-writer':
      await writeForeign(world);
  }
  await brokers.start();
  return {};
}

/** The largest message while the limit is lowered: some of the writers' are larger. */
const OVERSIZE_BYTES = 3_000;
const NO_LIMITS = { max_msg_size: -1, max_msgs: -1 };

async function withLimit(world: World, limit: object, lastsMs: number): Promise<void> {
  await limitStream(world, limit);
  await sleep(lastsMs);
  await limitStream(world, NO_LIMITS);
}

async function limitStream({ brokers, stream }: World, limit: object): Promise<void> {
  await brokers.patiently((jsm) => jsm.streams.update(stream, limit));
}

/**
 * A limit below what the stream holds would make the server delete the rest, whatever it is to discard: while the limit
 * is set, nobody publishes.
 */
async function fillStream(world: World, lastsMs: number): Promise<void> {
  for (const relay of world.relays) relay.signal('SIGSTOP');
  try {
    await limitStream(world, { max_msgs: (await restingMessages(world)) + 100, discard: 'new' });
  } finally {
    for (const relay of world.relays) relay.signal('SIGCONT');
  }
  await sleep(lastsMs);
  await limitStream(world, NO_LIMITS);
}

const RESTS_AFTER_MS = 100;

/** How many the stream holds, once what was under way to it has come. */
async function restingMessages({ brokers, stream }: World): Promise<number> {
  const state = () => brokers.patiently(async (jsm) => (await jsm.streams.info(stream)).state);
  for (let last = await state(); ; ) {
    await sleep(RESTS_AFTER_MS);
    const next = await state();
    if (next.last_seq === last.last_seq) return next.messages;
    last = next;
  }
}

async function writeForeign({ brokers }: World): Promise<void> {
  const js = jetstream(brokers.connection, { timeout: 1_000 });
  for (let i = 0; i < 5; i++) {
    await js.publish('gb.patient.stranger', `not from the outbox ${i}`).catch(() => undefined);
    await sleep(20);
  }
}
