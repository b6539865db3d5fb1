import { countConsumerLetters } from '../dead-letters/count.ts';
import { messageOf } from '../errors.ts';
import { estimateInbox } from '../inbox/size.ts';
import type { BrokerLink } from '../jetstream/index.ts';
import { sleep } from '../lifecycle/abort.ts';
import { inTransaction, type Transact } from './database.ts';
import { backlogOf } from './delivery/durable.ts';
import type { ConsumerSettings } from './options.ts';
import type { TroubleLog } from './trouble.ts';

export interface MeasureOptions<Tx> {
  readonly settings: ConsumerSettings;
  readonly link: BrokerLink;
  readonly transact: Transact<Tx>;
  readonly trouble: TroubleLog;
  readonly signal: AbortSignal;
}

const BACKLOG_EVERY_MS = 10_000;
/** Every so many times. */
const KEPT_EVERY = 6;

/** Asks now and then what is left to do, for metrics. Standbys ask too: that nobody works is when it counts most. */
export async function keepMeasuring<Tx>(options: MeasureOptions<Tx>): Promise<void> {
  const { settings, signal } = options;
  if (!settings.meter.isOn) return;
  for (let turn = 0; !signal.aborted; turn++) {
    await measureBacklog(options);
    if (turn % KEPT_EVERY === 0) await measureKept(options);
    await sleep(BACKLOG_EVERY_MS, signal);
  }
}

async function measureBacklog<Tx>({ settings, link, signal }: MeasureOptions<Tx>): Promise<void> {
  if (!link.connected) return;
  const backlog = await backlogOf(link, settings);
  if (backlog !== undefined && !signal.aborted) settings.meter.backlog(backlog);
}

async function measureKept<Tx>({ settings, transact, trouble, signal }: MeasureOptions<Tx>): Promise<void> {
  const { durable: consumer, meter } = settings;
  try {
    const kept = await inTransaction(transact, async (transaction) => ({
      inboxRows: await estimateInbox(transaction, consumer),
      deadLetters: await countConsumerLetters(transaction, consumer),
    }));
    if (!signal.aborted) meter.kept(kept);
  } catch (error) {
    trouble.warn(
      'consumer-upkeep-failed',
      messageOf(error),
      'Inbox and dead letters could not be counted; it is tried again',
    );
  }
}
