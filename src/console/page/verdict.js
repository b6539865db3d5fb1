import { ago, duration, plural, rate } from './format.js';
import { lastStoredAt, letterCount, nowOf, recentRate } from './state.js';

/** @typedef {'good' | 'warn' | 'bad' | 'quiet'} Tone */

const BEHIND_MS = 10_000;
const IDLE_MS = 10_000;

/**
 * The state of the whole in a few words: the worst that is known, else what it does.
 *
 * @param {import('./state.js').State} state
 * @returns {{ tone: Tone, text: string }}
 */
export function verdict(state) {
  const { live, failure, paused } = state;
  if (paused) return { tone: 'quiet', text: 'Paused: this is how it was' };
  if (failure !== undefined) return { tone: 'bad', text: failure };
  if (live === undefined) return { tone: 'quiet', text: 'Looking …' };
  const found = trouble(live);
  if (found?.tone === 'bad') return found;
  const { tone, text } = atWork(state, live);
  return found === undefined ? { tone, text } : { tone: 'warn', text: `${text}. ${found.text}` };
}

/**
 * @param {import('./state.js').Live} live
 * @returns {{ tone: Tone, text: string } | undefined}
 */
function trouble(live) {
  const { system, backlog, relay } = live;
  const { database, broker } = system;
  if (database.kind !== 'seen') return { tone: 'bad', text: 'PostgreSQL cannot be seen' };
  if (!isLed(database.value.leadership)) return { tone: 'bad', text: 'No relay leads' };
  if (broker.kind !== 'seen') return { tone: 'bad', text: 'NATS cannot be seen' };
  const halted = relay?.role === 'leader' ? relay.lanes.find(({ state }) => state === 'paused') : undefined;
  if (halted !== undefined) return { tone: 'bad', text: `${halted.stream} is paused` };
  if ((backlog?.oldestAgeMs ?? 0) > BEHIND_MS)
    return {
      tone: 'warn',
      text: `Behind: the oldest event waits since ${duration(backlog?.oldestAgeMs ?? 0)}`,
    };
  const letters = letterCount(live);
  return letters > 0 ? { tone: 'warn', text: plural(letters, 'dead letter') } : undefined;
}

/**
 * @param {import('./state.js').State} state
 * @param {import('./state.js').Live} live
 * @returns {{ tone: Tone, text: string }}
 */
function atWork(state, live) {
  const stored = lastStoredAt(live);
  if (stored === undefined) return { tone: 'good', text: 'Ready: nothing was published yet' };
  const sinceMs = Math.max(0, nowOf(live) - stored);
  if (sinceMs > IDLE_MS) return { tone: 'good', text: `Idle, last published ${ago(sinceMs)}` };
  return { tone: 'good', text: `Publishing ${rate(recentRate(state))}` };
}

/** @param {{ leader: string | null, expiresInMs: number | null }} leadership */
export function isLed({ leader, expiresInMs }) {
  return leader !== null && expiresInMs !== null && expiresInMs > 0;
}
