import { messageOf } from '../../../src/errors.ts';
import { sleep } from '../../../src/lifecycle/abort.ts';
import type { Scene, SceneContext, SceneOutcome } from '../scene.ts';
import { type Evidence, violationsOf } from '../system/checker.ts';
import { gatherEvidence } from '../system/evidence.ts';
import { doHarm, type Harm } from '../system/faults.ts';
import { createPlan, describeFault, type PlannedFault } from '../system/plan.ts';
import { openWorld, type World } from '../system/world.ts';

/** Two relays, two consumers and six writers in processes of their own, and one fault after the other. */
export const system: Scene = {
  name: 'system',
  about:
    'real processes under kills, freezes, crashes, cut and lying networks, lost tails, limits and strangers',
  async play(context) {
    const plan = createPlan(context.random.fork('plan'), context);
    const { chronicle, tell, seed } = context;
    tell(
      `${plan.ordering} ordering, ${plan.brokers} broker(s), ${plan.retention} retention, ${plan.faults.length} faults`,
    );
    await using world = await openWorld({ seed, plan, chronicle, historyPath: context.historyPath });
    await world.mend();
    const measuring = measure(world);
    await world.leader();
    const harms = await doAll(world, context);
    const lateMs = await settle(world);
    await measuring.stop();
    const evidence = await gatherEvidence(world, { lateMs });
    return { violations: violationsOf(evidence), facts: factsOf(evidence, harms, world) };
  },
};

async function doAll(world: World, { tell, chronicle }: SceneContext): Promise<Harm[]> {
  const harms: Harm[] = [];
  for (const planned of world.plan.faults) {
    await sleep(planned.pauseMs);
    const text = describeFault(planned.fault);
    tell(text);
    const over = chronicle.begin('faults', text, { lastsMs: planned.lastsMs });
    const harm = await harmOf(world, planned);
    over();
    if (harm.remark !== undefined) chronicle.note('faults', harm.remark);
    harms.push(harm);
    await world.mend();
  }
  return harms;
}

/** A fault that cannot be done (the server it needs is down by another one) is no finding. */
async function harmOf(world: World, { fault, lastsMs }: PlannedFault): Promise<Harm> {
  try {
    return await doHarm(world, fault, lastsMs);
  } catch (error) {
    return { remark: `could not be done: ${error instanceof Error ? error.message : String(error)}` };
  }
}

const SETTLE_WITHIN_MS = 60_000;
const RETRY_EVERY_MS = 2_000;

/** Everything is mended and nobody writes any more. Undefined, or how long was waited in vain for it to be done. */
async function settle(world: World): Promise<number | undefined> {
  const { writers, chronicle } = world;
  await world.mend();
  await sleep(500);
  await writers.end('SIGTERM');
  chronicle.note('writers', 'stop');
  const startedAtMs = performance.now();
  let retriedAtMs = Number.NEGATIVE_INFINITY;
  while (performance.now() - startedAtMs < SETTLE_WITHIN_MS) {
    if (await isSettled(world).catch(() => false)) return undefined;
    if (performance.now() - retriedAtMs > RETRY_EVERY_MS) {
      await retryLetters(world).catch(() => undefined);
      retriedAtMs = performance.now();
    }
    await sleep(200);
  }
  for (const relay of world.relays)
    chronicle.note(relay.name, 'is asked why', { readiness: await relay.readiness() });
  chronicle.note('stream', 'ends as', { state: await streamState(world).catch(messageOf) });
  chronicle.note('letters', 'are left', { states: await lettersLeft(world).catch(messageOf) });
  return Math.round(performance.now() - startedAtMs);
}

/** An operator's part: what was too large for a while fits again. */
async function retryLetters({ pool }: World): Promise<void> {
  await pool.query(
    `insert into postcommit.requests (kind, detail)
     select 'retry', jsonb_build_object('ids', jsonb_agg(id)) from postcommit.dead_letters
      where consumer is null and state = 'parked' having count(*) > 0`,
  );
}

async function streamState({ brokers, stream }: World): Promise<unknown> {
  return (await brokers.jsm.streams.info(stream)).state;
}

async function lettersLeft({ pool }: World): Promise<unknown> {
  const { rows } = await pool.query(
    `select stream, state, outcome, reason, attempts, count(*)::int, min(position)::int, max(position)::int,
            count(distinct key)::int as keys
       from postcommit.dead_letters where consumer is null and state <> 'resolved'
      group by stream, state, outcome, reason, attempts`,
  );
  return rows;
}

/** As many stored and as many effects as committed, and no letter open: what is more than that the checker will see. */
async function isSettled({ pool, brokers, stream }: World): Promise<boolean> {
  const { rows } = await pool.query(
    `select (select count(*)::int from chaos.ledger) as committed,
            (select count(*)::int from chaos.ledger where subject like '%.patient.%') as consumed,
            (select count(distinct event_id)::int from chaos.effect where version is not null) as effects,
            (select count(*)::int from postcommit.dead_letters where consumer is null and state <> 'resolved') as letters,
            (select coalesce(max(last_sequence), 0)::int from postcommit.batches) as planned`,
  );
  const [{ committed, consumed, effects, letters, planned }] = rows;
  const { messages, last_seq } = (await brokers.jsm.streams.info(stream)).state;
  return messages >= committed && last_seq >= planned && effects >= consumed && letters === 0;
}

const SAMPLE_MS = 500;

/** What is committed and stored in each half second, and how much memory the relays take. */
function measure({ relays, writers, brokers, stream, chronicle }: World): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const done = (async () => {
    let [committed, stored, first] = [0, 0, 1];
    while (!stopping.signal.aborted) {
      const over = {
        commits: chronicle.begin('commits', 'sample'),
        stored: chronicle.begin('stored', 'sample'),
      };
      await sleep(SAMPLE_MS, stopping.signal);
      await Promise.all(relays.map((relay) => relay.measure()));
      over.commits({ value: writers.counts.committed - committed });
      committed = writers.counts.committed;
      const last = await brokers.jsm.streams.info(stream).catch(() => undefined);
      if (last !== undefined) {
        over.stored({ value: Math.max(0, last.state.last_seq - stored) });
        stored = last.state.last_seq;
        // Nothing here asks for that: whatever is gone was taken by the server.
        const { first_seq: begins, num_deleted: holes = 0 } = last.state;
        if (begins > first) chronicle.note('stream', 'has lost its first messages', { begins, holes });
        first = Math.max(first, begins);
      }
    }
  })();
  return {
    stop() {
      stopping.abort();
      return done;
    },
  };
}

function factsOf(
  { ledger, messages, effects, letters, log, peakMiB }: Evidence,
  harms: readonly Harm[],
  { writers, brokers }: World,
): SceneOutcome['facts'] {
  const takeovers = (after: 'kill' | 'freeze') => {
    const times = harms.flatMap(({ takeover }) => (takeover?.after === after ? [takeover.ms] : []));
    return times.length === 0 ? '-' : times.sort((a, b) => a - b).join(' ');
  };
  return {
    nats: `${brokers.version} R${brokers.replicas}`,
    faults: harms.length,
    committed: ledger.length,
    stored: messages.length,
    effects: effects.length,
    'rolled back': writers.counts['rolled back'],
    'dead letters': letters.length,
    'batch rows': log.length,
    epochs: log.at(-1)?.epoch ?? 0,
    'takeover after kill, ms': takeovers('kill'),
    'takeover after freeze, ms': takeovers('freeze'),
    'peak MiB': Math.round(peakMiB),
  };
}
