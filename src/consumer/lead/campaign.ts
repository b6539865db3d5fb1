import { hostname } from 'node:os';
import {
  type ConsumerLease,
  endPredecessors,
  holdConsumerLock,
  releaseConsumerLease,
  renewConsumerLease,
  takeConsumerLease,
} from '../../lease/consumer-lease.ts';
import { sleep } from '../../lifecycle/abort.ts';
import { createBackoff } from '../../lifecycle/backoff.ts';
import { reasonOf } from '../../telemetry/reason.ts';
import type { TroubleLog } from '../trouble.ts';
import type { LeaseSession } from './lease-session.ts';

/** `standby`: another instance works, or nobody can. */
export type Role = 'active' | 'standby';

export interface CampaignOptions {
  readonly consumer: string;
  readonly ttlMs: number;
  readonly trouble: TroubleLog;
  readonly openSession: () => Promise<LeaseSession>;
  readonly onRole: (role: Role) => void;
  /** Another instance works. */
  readonly onStandby: () => void;
  /** Works under the lease. Resolves when the signal aborts and, where that is a stop, nothing is under way any more. */
  readonly serve: (lease: ConsumerLease, signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
}

const ASK_EVERY_MS = 250;
const PREDECESSOR_EVERY_MS = 20;
const PREDECESSOR_PATIENCE_MS = 5_000;

/** Stands by, takes over, works, and begins anew when the lease is lost, until the signal aborts. */
export async function campaign(options: CampaignOptions): Promise<void> {
  const { signal, trouble, onRole } = options;
  const backoff = createBackoff();
  while (!signal.aborted) {
    let session: LeaseSession | undefined;
    try {
      session = await options.openSession();
      onRole('standby');
      const lease = await standBy(session, options);
      backoff.reset();
      if (lease !== undefined) await rule(session, lease, options);
    } catch (error) {
      trouble.warn('consumer-lease-unavailable', reasonOf(error), 'The lease cannot be asked for now');
      await sleep(backoff.next(), signal);
    } finally {
      onRole('standby');
      session?.close();
    }
  }
}

/** Undefined if the signal aborts first. */
async function standBy(
  { run, timeOnly }: LeaseSession,
  { consumer, ttlMs, onStandby, signal }: CampaignOptions,
): Promise<ConsumerLease | undefined> {
  const terms = { consumer, member: `${hostname()}:${process.pid}`, ttlMs, timeOnly };
  while (!signal.aborted) {
    const epoch = await takeConsumerLease(run, terms);
    if (epoch !== null) return { consumer, epoch };
    onStandby();
    await sleep(ASK_EVERY_MS, signal);
  }
  return undefined;
}

async function rule(session: LeaseSession, lease: ConsumerLease, options: CampaignOptions): Promise<void> {
  const ruling = new AbortController();
  const signal = AbortSignal.any([options.signal, ruling.signal]);
  // Also while a stop lets handlers finish.
  const keeping = keepLease(session, lease, { ...options, signal: ruling.signal }).then((lost) => {
    if (lost) ruling.abort(LOST);
  });
  try {
    await beAlone(session, lease, signal);
    if (!signal.aborted) {
      options.onRole('active');
      await options.serve(lease, signal);
    }
  } finally {
    ruling.abort();
    await keeping;
  }
  if (ruling.signal.reason !== LOST) await releaseConsumerLease(session.run, lease).catch(() => undefined);
}

const LOST = 'lost';

/** True when the lease is lost, or cannot be renewed in time: before anybody else can have it. False when it is not to be kept. */
async function keepLease(
  { run }: LeaseSession,
  lease: ConsumerLease,
  { ttlMs, trouble, signal }: Pick<CampaignOptions, 'ttlMs' | 'trouble' | 'signal'>,
): Promise<boolean> {
  let renewedAtMs = performance.now();
  while (!signal.aborted) {
    await sleep(ttlMs / 3, signal);
    if (signal.aborted) return false;
    const askedAtMs = performance.now();
    const answer = await Promise.race([
      renewConsumerLease(run, lease, ttlMs).catch(reasonOf),
      sleep(Math.max(0, renewedAtMs + ttlMs - askedAtMs), signal).then(() => 'it was not renewed in time'),
    ]);
    if (signal.aborted) return false;
    if (answer !== true) {
      const reason = answer === false ? 'another instance has taken over' : answer;
      trouble.warn('consumer-lease-lost', reason, 'This instance has lost the lease, and stands by');
      return true;
    }
    renewedAtMs = askedAtMs;
  }
  return false;
}

/** What former instances still had under way is over, and whoever looks sees that this one is alive. */
async function beAlone(
  { run, timeOnly }: LeaseSession,
  lease: ConsumerLease,
  signal: AbortSignal,
): Promise<void> {
  const deadlineMs = performance.now() + PREDECESSOR_PATIENCE_MS;
  while (!signal.aborted) {
    const ended = await endPredecessors(run, lease, { timeOnly });
    if (ended === 0 && (timeOnly || (await holdConsumerLock(run, lease)))) return;
    if (performance.now() > deadlineMs) throw new Error('the sessions of the former instance do not end');
    await sleep(PREDECESSOR_EVERY_MS, signal);
  }
}
