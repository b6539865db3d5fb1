import { ask } from './api.js';

/**
 * @typedef {import('../live-api.ts').LivePage} Live
 * @typedef {import('../../observe/sampler.ts').Sample} Sample
 * @typedef {{ live: Live | undefined, failure: string | undefined, samples: Sample[], seconds: Map<number, number>, paused: boolean }} State
 */

const EVERY_MS = 2_000;
const KEPT_MS = 1_800_000;

/**
 * Keeps up with the server while the page is seen and not paused.
 *
 * @param {(state: State) => void} onChange
 */
export function createState(onChange) {
  /** @type {State} */
  const state = { live: undefined, failure: undefined, samples: [], seconds: new Map(), paused: false };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let asking = false;

  async function look() {
    clearTimeout(timer);
    if (asking) return;
    asking = true;
    try {
      /** @type {Live} */
      const live = await ask(`/api/live?since=${state.samples.at(-1)?.atMs ?? 0}`);
      take(live);
      state.failure = undefined;
    } catch (error) {
      state.failure = error instanceof Error ? error.message : String(error);
    }
    asking = false;
    onChange(state);
    plan();
  }
  /** @param {Live} live */
  function take(live) {
    state.live = live;
    state.samples = [...state.samples, ...live.samples].filter(({ atMs }) => atMs > live.atMs - KEPT_MS);
    for (const { atMs, events } of live.seconds) state.seconds.set(atMs, events);
    for (const atMs of state.seconds.keys()) if (atMs < live.atMs - KEPT_MS) state.seconds.delete(atMs);
  }
  function plan() {
    clearTimeout(timer);
    if (!state.paused && !document.hidden) timer = setTimeout(() => void look(), EVERY_MS);
  }
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && !state.paused) void look();
  });
  return {
    state,
    look,
    /** @param {boolean} paused */
    pause(paused) {
      state.paused = paused;
      if (paused) clearTimeout(timer);
      else void look();
      onChange(state);
    },
  };
}

/**
 * Of the database's clock: what it says of ages is by that.
 *
 * @param {Live} live
 */
export function nowOf({ system: { database }, atMs }) {
  return database.kind === 'seen' ? database.value.nowMs : atMs;
}

/**
 * Events a second over the last whole seconds.
 *
 * @param {State} state
 * @param {number} [seconds]
 */
export function recentRate({ live, seconds: counts }, seconds = 10) {
  if (live === undefined) return 0;
  const to = Math.floor(nowOf(live) / 1_000) * 1_000;
  let events = 0;
  for (let atMs = to - seconds * 1_000; atMs < to; atMs += 1_000) events += counts.get(atMs) ?? 0;
  return events / seconds;
}

/** When the last message was stored, in any stream. @param {Live} live */
export function lastStoredAt({ lanes }) {
  const times = lanes.flatMap(({ lastStoredAtMs }) => (lastStoredAtMs === null ? [] : [lastStoredAtMs]));
  return times.length === 0 ? undefined : Math.max(...times);
}

/** @param {Live} live */
export function letterCount({ system: { database } }) {
  if (database.kind !== 'seen') return 0;
  return database.value.letters
    .filter(({ state }) => state === 'parked' || state === 'held')
    .reduce((sum, { letters }) => sum + letters, 0);
}
