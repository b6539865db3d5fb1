import { h, show, table } from './dom.js';
import { ago, brief, bytes, count, duration } from './format.js';
import { nowOf } from './state.js';

/**
 * @typedef {import('./state.js').Live} Live
 * @typedef {import('../../observe/system.ts').StreamView} StreamView
 */

/** @param {HTMLElement} root */
export function openStreams(root) {
  const notice = h('div', { 'aria-live': 'polite' });
  const cards = h('div', { class: 'stack' });
  root.append(notice, cards);
  return {
    /** @param {import('./state.js').State} state */
    update({ live }) {
      if (live === undefined) return;
      const { broker } = live.system;
      show(notice, broker.kind === 'seen' ? '' : broker.reason, () =>
        broker.kind === 'seen'
          ? []
          : [h('p', { class: 'notice', 'data-tone': 'bad' }, `NATS cannot be seen: ${broker.reason}`)],
      );
      if (broker.kind !== 'seen') return;
      const { streams } = broker.value;
      show(cards, [streams, seatsOf(live), Math.floor(nowOf(live) / 2_000)], () =>
        streams.length === 0
          ? [h('p', {}, 'No stream yet: the relay creates it when it starts.')]
          : streams.map((stream) => card(stream, live)),
      );
    },
  };
}

/** @param {Live} live */
function seatsOf({ system: { database } }) {
  return database.kind === 'seen' ? database.value.seats : [];
}

/**
 * @param {StreamView | { name: string, reason: string }} stream
 * @param {Live} live
 */
function card(stream, live) {
  if (!('state' in stream))
    return h(
      'section',
      { class: 'card' },
      h('h2', {}, stream.name),
      h('p', { class: 'notice' }, stream.reason),
    );
  const { name, state } = stream;
  const lane = live.lanes.find((one) => one.stream === name);
  return h(
    'section',
    { class: 'card stack' },
    h(
      'div',
      { class: 'row between' },
      h('h2', {}, name),
      h(
        'span',
        { class: 'soft small' },
        state.lastAtMs === undefined
          ? 'no message yet'
          : `last message ${ago(Math.max(0, nowOf(live) - state.lastAtMs))}`,
      ),
    ),
    h(
      'div',
      { class: 'grid' },
      h(
        'dl',
        { class: 'small' },
        ...[
          ['Subjects', state.subjects.join(', ')],
          ['Ordering', lane === undefined ? 'not of this outbox' : lane.ordering],
          ['Retention', `${state.retention}, discards ${state.discard}`],
          [
            'Storage',
            `${state.storage}, ${state.replicas === 1 ? 'one replica' : `${state.replicas} replicas`}`,
          ],
          ['Sequences', `${count(state.firstSequence)} to ${count(state.lastSequence)}`],
          ['Duplicate window', duration(state.duplicateWindowMs)],
        ].flatMap(([title, value]) => [h('dt', {}, title), h('dd', {}, value)]),
      ),
      h(
        'div',
        { class: 'small' },
        limit('Messages', state.messages, state.maxMessages, brief),
        limit('Size', state.bytes, state.maxBytes, bytes),
        h('p', {}, `Age: ${state.maxAgeMs > 0 ? `kept for ${duration(state.maxAgeMs)}` : 'no limit'}`),
        h(
          'p',
          {},
          `Message size: ${state.maxMessageSize > 0 ? `at most ${bytes(state.maxMessageSize)}` : 'the limit of the server'}`,
        ),
      ),
    ),
    durables(stream, live),
  );
}

/**
 * @param {string} title
 * @param {number} value
 * @param {number} most -1: no limit
 * @param {(value: number) => string} unit
 */
function limit(title, value, most, unit) {
  if (most <= 0) return h('p', {}, `${title}: ${unit(value)}, no limit`);
  const text = `${title}: ${unit(value)} of ${unit(most)}`;
  return h(
    'div',
    {},
    h('p', {}, text),
    h('meter', { min: 0, max: most, high: most * 0.8, optimum: 0, value, 'aria-label': text }),
  );
}

/** @param {StreamView} stream @param {Live} live */
function durables({ name, durables: listed }, live) {
  if (listed.kind !== 'seen')
    return h('p', { class: 'soft small' }, `Its consumers cannot be listed: ${listed.reason}`);
  const { database } = live.system;
  const inboxes = database.kind === 'seen' ? database.value.inboxes : [];
  const seats = seatsOf(live);
  if (listed.value.length === 0) return h('p', { class: 'soft small' }, 'No consumer.');
  return table({
    caption: 'Consumers',
    columns: [
      { title: 'Name' },
      { title: 'Lag', num: true },
      { title: 'Under way', num: true },
      { title: 'Redelivered', num: true },
      { title: 'Done up to', num: true },
      { title: 'Works' },
      { title: 'Inbox' },
    ],
    rows: listed.value.map((durable) => {
      const seat = seats.find(({ consumer }) => consumer === `${name}/${durable.name}`);
      return [
        h(
          'span',
          {},
          h('strong', {}, durable.name),
          durable.durable ? '' : ' (ephemeral)',
          durable.subjects.length === 0
            ? null
            : h('span', { class: 'mono soft' }, ` ${durable.subjects.join(', ')}`),
        ),
        count(durable.pending),
        count(durable.ackPending),
        count(durable.redelivered),
        count(durable.ackFloor),
        seat === undefined
          ? durable.waiting > 0
            ? 'asks for messages'
            : 'nobody asks'
          : seat.holder === null || seat.expired
            ? 'nobody'
            : seat.holder,
        inboxes.includes(durable.name) ? 'in this database' : '',
      ];
    }),
  });
}
