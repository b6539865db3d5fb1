import { h, show, table } from './dom.js';
import { ago, brief, bytes, count, duration, plural, rate } from './format.js';
import { go, place } from './place.js';
import { createPlot, highest } from './plot.js';
import { lastStoredAt, letterCount, nowOf, recentRate } from './state.js';
import { isLed } from './verdict.js';

/** @typedef {import('./state.js').State} State */
/** @typedef {import('./state.js').Live} Live */

const WINDOWS = [5, 15, 30];
const POINTS = 150;
const DOTS_AT_MOST = 2_000;

/** @param {HTMLElement} root */
export function openOverview(root) {
  const tiles = h('section', { class: 'tiles', 'aria-label': 'At present' });
  const plots = {
    rate: createPlot({ title: 'Events per second', unit: brief, filled: true }),
    latency: createPlot({ title: 'From insert to stored', unit: duration }),
    backlog: createPlot({ title: 'Backlog', unit: brief, filled: true }),
    age: createPlot({ title: 'Age of the oldest event that waits', unit: duration }),
  };
  const windows = h('select', {
    id: 'window',
    onchange: () => go({ minutes: /** @type {HTMLSelectElement} */ (windows).value }, { replace: true }),
  });
  for (const minutes of WINDOWS) windows.append(h('option', { value: minutes }, `${minutes} minutes`));
  const relays = h('section', { class: 'card' });
  const ring = h('section', { class: 'card' });
  root.append(
    tiles,
    h(
      'div',
      { class: 'row between' },
      h('span', { class: 'soft small' }, 'What was before this page was opened is known of the events only.'),
      h('label', {}, 'Shown', windows),
    ),
    h('div', { class: 'grid' }, ...Object.values(plots).map(({ element }) => element)),
    h('div', { class: 'grid' }, relays, ring),
  );
  return {
    /** @param {State} state */
    update(state) {
      const { live } = state;
      const minutes = WINDOWS.find((one) => String(one) === place().get('minutes')) ?? WINDOWS[0] ?? 5;
      /** @type {HTMLSelectElement} */ (windows).value = String(minutes);
      if (live === undefined) return;
      const values = tilesOf(state, live);
      show(tiles, values, () => values.map(tile));
      drawAll(plots, state, { live, windowMs: minutes * 60_000 });
      showRelays(relays, live);
      showRing(ring, live);
    },
  };
}

/**
 * @param {State} state
 * @param {Live} live
 * @returns {{ title: string, value: string, more: string, tone?: string }[]}
 */
function tilesOf(state, live) {
  const { backlog } = live;
  const stored = lastStoredAt(live);
  const latencies = recentLatencies(state, 60_000);
  const letters = letterCount(live);
  return [
    { title: 'Throughput', value: rate(recentRate(state)), more: 'over ten seconds' },
    {
      title: 'Last published',
      value: stored === undefined ? 'never' : ago(Math.max(0, nowOf(live) - stored)),
      more: `${plural(live.lanes.length, 'stream')}`,
    },
    {
      title: 'Backlog',
      value: backlog === null ? '?' : `${backlog.exact ? '' : 'about '}${brief(backlog.events)}`,
      more: 'committed, not stored yet',
    },
    {
      title: 'Oldest that waits',
      value: backlog === null ? '?' : backlog.oldestAgeMs === null ? 'none' : duration(backlog.oldestAgeMs),
      more: writersOf(live),
    },
    {
      title: 'Insert to stored',
      value: latencies.length === 0 ? '–' : duration(median(latencies)),
      more:
        latencies.length === 0
          ? 'no event in the last minute'
          : `median of ${latencies.length}; most ${duration(maximum(latencies))}`,
    },
    { title: 'Dead letters', value: count(letters), more: letters === 0 ? 'none waits' : 'await a decision' },
  ];
}

/** Open gaps are theirs. @param {Live} live */
function writersOf({ system: { database }, lanes }) {
  if (database.kind !== 'seen') return '';
  const { writers } = database.value;
  const gaps = lanes.some(({ gapsOpen }) => gapsOpen);
  if (writers === 0) return 'no open transaction writes';
  return `${plural(writers, 'open transaction')}${gaps ? ', with gaps' : ''}`;
}

/** @param {{ title: string, value: string, more: string }} content */
function tile({ title, value, more }) {
  return h(
    'div',
    { class: 'card tile' },
    h('h2', {}, title),
    h('p', { class: 'value' }, value),
    h('p', { class: 'more' }, more),
  );
}

/** @param {State} state @param {number} windowMs */
function recentLatencies({ samples, live }, windowMs) {
  const from = (live?.atMs ?? 0) - windowMs;
  return samples.filter(({ atMs }) => atMs > from).flatMap(({ latenciesMs }) => latenciesMs);
}

/** @param {number[]} values */
function maximum(values) {
  return values.reduce((most, value) => Math.max(most, value), 0);
}

/** @param {number[]} values */
function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/**
 * @param {Record<'rate' | 'latency' | 'backlog' | 'age', ReturnType<typeof createPlot>>} plots
 * @param {State} state
 * @param {{ live: Live, windowMs: number }} view
 */
function drawAll(plots, state, { live, windowMs }) {
  const toMs = live.atMs;
  const range = { fromMs: toMs - windowMs, toMs };
  const samples = state.samples.filter(({ atMs }) => atMs > range.fromMs);
  const rates = ratePoints(state, { ...range, skewMs: live.atMs - nowOf(live) });
  plots.rate.update(
    { ...range, line: rates },
    `now ${rate(recentRate(state))}, most ${brief(highest(rates))}/s`,
  );
  const dots = samples
    .flatMap(({ atMs, latenciesMs }) => latenciesMs.map((value) => ({ atMs, value })))
    .slice(-DOTS_AT_MOST);
  const middle = samples
    .filter(({ latenciesMs }) => latenciesMs.length > 0)
    .map(({ atMs, latenciesMs }) => ({ atMs, value: median([...latenciesMs]) }));
  const all = dots.map(({ value }) => value);
  plots.latency.update(
    { ...range, line: middle, dots, breakMs: 7_000 },
    all.length === 0 ? 'no event seen' : `median ${duration(median(all))}, most ${duration(maximum(all))}`,
  );
  for (const [plot, name, unit] of /** @type {const} */ ([
    [plots.backlog, 'backlog', brief],
    [plots.age, 'oldestAgeMs', duration],
  ])) {
    const line = samples.flatMap((sample) =>
      sample[name] === null ? [] : [{ atMs: sample.atMs, value: sample[name] }],
    );
    const last = line.at(-1)?.value;
    plot.update(
      { ...range, line, breakMs: 7_000 },
      last === undefined ? 'not known' : `now ${unit(last)}, most ${unit(highest(line))}`,
    );
  }
}

/**
 * A second of the database's clock has no point of its own where many are shown.
 *
 * @param {State} state
 * @param {{ fromMs: number, toMs: number, skewMs: number }} range
 */
function ratePoints({ seconds }, { fromMs, toMs, skewMs }) {
  const stepMs = Math.max(1_000, Math.ceil((toMs - fromMs) / POINTS / 1_000) * 1_000);
  const points = [];
  const end = Math.floor((toMs - skewMs) / stepMs) * stepMs;
  for (let from = Math.ceil((fromMs - skewMs) / stepMs) * stepMs; from < end; from += stepMs) {
    let events = 0;
    for (let atMs = from; atMs < from + stepMs; atMs += 1_000) events += seconds.get(atMs) ?? 0;
    points.push({ atMs: from + skewMs + stepMs / 2, value: (events * 1_000) / stepMs });
  }
  return points;
}

/**
 * @param {Element} parent
 * @param {Live} live
 */
function showRelays(parent, { system: { database }, relay }) {
  if (database.kind !== 'seen') {
    show(parent, database.reason, () => [
      h('h2', {}, 'Relays'),
      h('p', { class: 'notice', 'data-tone': 'bad' }, database.reason),
    ]);
    return;
  }
  const { leadership } = database.value;
  const led = isLed(leadership);
  const { leader, standbys, epoch } = leadership;
  show(parent, [leader, led, standbys, epoch, relay], () => [
    h('h2', {}, 'Relays'),
    led
      ? null
      : h(
          'p',
          { class: 'notice', 'data-tone': 'bad' },
          `No relay leads. The last one was ${leader ?? 'stopped in order'}. Start one: postcommit relay`,
        ),
    table({
      columns: [{ title: 'Relay' }, { title: 'Role' }, { title: 'Term', num: true }],
      rows: [
        ...(led ? [[leader ?? '', h('span', { class: 'tag', 'data-tone': 'good' }, 'leads'), epoch]] : []),
        ...standbys.map((member) => [member, h('span', { class: 'tag' }, 'stands by'), '']),
      ],
    }),
    led && standbys.length === 0
      ? h('p', { class: 'soft small' }, 'No other relay stands by, or they connect through a pooler.')
      : null,
    relay?.role === 'leader' && relay.lanes.length > 0
      ? table({
          caption: 'Streams of this relay',
          columns: [{ title: 'Stream' }, { title: 'State' }, { title: 'Why' }],
          rows: relay.lanes.map(({ stream, state, reason }) => [
            stream,
            h('span', { class: 'tag', 'data-tone': state === 'publishing' ? 'good' : 'bad' }, state),
            reason ?? '',
          ]),
        })
      : null,
  ]);
}

/**
 * @param {Element} parent
 * @param {Live} live
 */
function showRing(parent, { system: { database } }) {
  if (database.kind !== 'seen') return;
  const { ring, nowMs } = database.value;
  if (ring.kind !== 'seen') return;
  const leaves = ring.value.map(({ segment, bytes: size, from, to, oldestMs, current }) => ({
    segment,
    state: current ? 'current' : from === null ? 'empty' : 'used',
    size: from === null && !current ? '' : bytes(size),
    rows: from === null || to === null ? 'empty' : `${brief(to - from + 1)} rows`,
    age: oldestMs === null ? '' : duration(Math.max(0, Math.floor((nowMs - oldestMs) / 10_000) * 10_000)),
  }));
  show(parent, leaves, () => [
    h('h2', {}, 'Outbox'),
    h(
      'p',
      { class: 'soft small' },
      'Eight segments in a ring: one is written to, the oldest are emptied when all in them is stored and kept long enough.',
    ),
    h(
      'ul',
      { class: 'ring', 'aria-label': 'Segments' },
      ...leaves.map(({ segment, state, size, rows, age }) =>
        h(
          'li',
          { 'data-state': state },
          h('strong', {}, segment),
          ` ${state === 'current' ? 'now' : ''}`,
          h('br'),
          rows,
          h('br'),
          size,
          age === '' ? null : h('br'),
          age === '' ? null : `since ${age}`,
        ),
      ),
    ),
  ]);
}
