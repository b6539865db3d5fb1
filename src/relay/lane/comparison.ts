import type { Batch } from '../../batch-log/batch.ts';
import { planIfLeading } from '../../batch-log/plan.ts';
import { lastBatch } from '../../batch-log/recover.ts';
import { messageOf, PostcommitError } from '../../errors.ts';
import type { StreamState } from '../../jetstream/index.ts';
import { createDeferred, type Deferred } from '../../lifecycle/deferred.ts';
import { sizeOf } from '../../postgres/position-ranges.ts';
import { abandonStream } from './abandon.ts';
import { adoptStream, recreated } from './adopt.ts';
import type { Adopted, Adoption, LaneContext } from './lane.ts';
import type { LaneLetters } from './lane-letters.ts';
import type { LaneLog } from './lane-log.ts';
import type { Lineage } from './lineage.ts';
import { calledOtherwise, otherName } from './other-name.ts';
import type { Outlet } from './outlet.ts';
import type { PreparedStream, PrepareOptions } from './prepare-stream.ts';

/** How a lane leaves doubt and pauses: it finds its stream, makes sure it is the one planned for, and compares. */
export interface Comparing {
  /** One attempt. `ended`: the stream is gone and no lane any more, nothing is left to do for it. */
  attempt(signal: AbortSignal): Promise<'flowing' | 'waiting' | 'fenced' | 'ended'>;
  /** The stream was recreated or restored: go on with it at the next attempt. */
  adopt(mode: Adoption, signal: AbortSignal): Promise<Adopted>;
  readonly adopting: boolean;
  /** The lane publishes: there is nothing to adopt. */
  adopted(): void;
  close(): void;
}

export interface ComparingOptions {
  readonly context: LaneContext;
  readonly outlet: Outlet;
  readonly log: LaneLog;
  readonly letters: LaneLetters;
  readonly lineage: Lineage;
  /** Finds the stream, under the name that the log has for it. */
  readonly prepare: (how: PrepareOptions) => Promise<PreparedStream>;
  readonly know: (stream: StreamState) => void;
}

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one closure over a pending adoption, its parts named below.
export function createComparing(parts: ComparingOptions): Comparing {
  const { context, outlet, log, letters, lineage, prepare, know } = parts;
  const { options, session, link, closing } = context;
  const { gate } = outlet;
  let adoption: { mode: Adoption; done: Deferred<Adopted> } | undefined;
  let nameIsOurs = false;

  const finish = (republished: number): void => {
    adoption?.done.resolve({ kind: 'adopted', incarnation: log.incarnation ?? '', republished });
    adoption = undefined;
  };
  const wait = (outcome: string, reason: string): 'waiting' => {
    gate.pause({ outcome, reason });
    return 'waiting';
  };

  async function withoutStream(
    prepared: Unfit,
    last: Batch | undefined,
  ): Promise<'waiting' | 'fenced' | 'ended'> {
    if (!prepared.missing || !closing || last === undefined)
      return wait(prepared.pause.outcome, prepared.pause.reason);
    if ((await abandonStream({ context, last, letters, log })) === 'fenced') return 'fenced';
    context.onMoved();
    return 'ended';
  }

  async function withAnother(stream: StreamState, last: Batch, signal: AbortSignal) {
    if (adoption === undefined) {
      gate.pause(recreated(last, stream));
      return 'waiting';
    }
    const settledTo = (options.ordering ?? 'stream') === 'stream' ? outlet.settledTo : null;
    log.restart(last, stream.created);
    const rows = await adoptStream({ session, last, stream, mode: adoption.mode, settledTo, log });
    if ((await planIfLeading(session, rows)) === 'fenced') return 'fenced';
    const outcome = await outlet.compare({ stream, last: rows.at(-1), giveUp: true, signal });
    if (outcome === 'flowing') finish(rows.reduce((sum, { positions }) => sum + sizeOf(positions), 0));
    return outcome;
  }

  async function compare(signal: AbortSignal) {
    const last = await lastBatch(session, options.stream);
    const giveUp = adoption !== undefined;
    const provision = context.provision || giveUp;
    const planned = last !== undefined && !giveUp;
    const prepared = await prepare({ provision, planned, signal });
    if (prepared.kind === 'unfit') return withoutStream(prepared, last);
    const stream = await lineage.recognise(prepared.state, last, signal);
    know(stream);
    if (last !== undefined && last.incarnation !== stream.created) return withAnother(stream, last, signal);
    if (last !== undefined && !nameIsOurs) {
      const theirs = await otherName(context, { stream, last, signal });
      if (theirs !== undefined) {
        gate.pause(calledOtherwise(stream.name, { theirs, ours: context.source }));
        return 'waiting';
      }
      nameIsOurs = true;
    }
    const outcome = await outlet.compare({ stream, last, giveUp, signal });
    if (outcome === 'flowing') finish(0);
    return outcome;
  }

  return {
    async attempt(signal) {
      if (!link.connected) return wait('unavailable', 'the connection to NATS is lost; it is being restored');
      gate.comparing();
      try {
        return await compare(signal);
      } catch (error) {
        // Only the broker's outages are values here; the database's end the term.
        if (!(error instanceof PostcommitError) || error.code !== 'broker-unreachable') throw error;
        return wait('unavailable', messageOf(error));
      }
    },
    adopt(mode, signal) {
      adoption?.done.resolve({ kind: 'refused', reason: 'another request took its place' });
      const mine = { mode, done: createDeferred<Adopted>() };
      adoption = mine;
      const giveUp = () => {
        if (adoption !== mine) return;
        adoption = undefined;
        const { state } = gate;
        const reason = state.kind === 'paused' ? state.pause.reason : 'it takes too long';
        mine.done.resolve({ kind: 'refused', reason });
      };
      signal.addEventListener('abort', giveUp, { once: true });
      return mine.done.promise;
    },
    get adopting() {
      return adoption !== undefined;
    },
    adopted: () => finish(0),
    close() {
      adoption?.done.resolve({ kind: 'refused', reason: 'the leadership ended' });
      adoption = undefined;
    },
  };
}

type Unfit = Extract<PreparedStream, { kind: 'unfit' }>;
