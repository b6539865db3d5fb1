import { countConsumerLetters } from '../dead-letters/count.ts';
import { estimateInbox } from '../inbox/size.ts';
import type { BrokerLink } from '../jetstream/index.ts';
import { sleep } from '../lifecycle/abort.ts';
import { inTransaction, type Transact } from './database.ts';
import { backlogOf } from './delivery/durable.ts';
import type { ConsumerSettings } from './options.ts';

export interface MeasureOptions<Tx> {
  readonly settings: ConsumerSettings;
  readonly link: BrokerLink;
  readonly transact: Transact<Tx>;
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
    // An outage of the database is said by those who need it.
    if (turn % KEPT_EVERY === 0) await measureKept(options).catch(() => undefined);
    await sleep(BACKLOG_EVERY_MS, signal);
  }
}

async function measureBacklog<Tx>({ settings, link, signal }: MeasureOptions<Tx>): Promise<void> {
  if (!link.connected) return;
  const backlog = await backlogOf(link, settings);
  if (backlog !== undefined && !signal.aborted) settings.meter.backlog(backlog);
}

async function measureKept<Tx>({ settings, transact, signal }: MeasureOptions<Tx>): Promise<void> {
  const { durable: consumer, meter } = settings;
  const kept = await inTransaction(transact, async (transaction) => ({
    inboxRows: await estimateInbox(transaction, consumer),
    deadLetters: await countConsumerLetters(transaction, consumer),
  }));
  if (!signal.aborted) meter.kept(kept);
}
