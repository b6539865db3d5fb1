import { createQuestion } from './api.js';
import { h, show } from './dom.js';
import { bytes, moment } from './format.js';
import { payloadButton } from './payload.js';
import { go, place } from './place.js';
import { stepsOf } from './steps.js';

/**
 * @typedef {import('../../observe/events.ts').EventPage} EventPage
 * @typedef {import('../../observe/events.ts').ListedEvent} ListedEvent
 * @typedef {import('../../observe/timeline.ts').Timeline} Timeline
 */

const FILTERS = /** @type {const} */ (['subject', 'key', 'type', 'id']);
const HINTS = {
  subject: 'events.patient.>',
  key: 'patient-7',
  type: 'patient.moved',
  id: 'UUID of the event',
};
const TONES = { committed: 'quiet', planned: 'warn', 'set-aside': 'bad', stored: 'good' };

/** @param {HTMLElement} root */
export function openEvents(root) {
  const form = filterForm();
  const notice = h('div', { 'aria-live': 'polite' });
  const list = h('div', {});
  const detail = h('section', { class: 'card', 'aria-live': 'polite', hidden: true });
  const more = h('button', { type: 'button', hidden: true }, 'Older ones');
  root.append(form, notice, detail, h('section', { class: 'card' }, list), h('div', { class: 'row' }, more));
  const question = createQuestion(() => `/api/events?${queryOf()}`);
  const questionOfOne = createQuestion(() => `/api/event?position=${place().get('position') ?? ''}`);

  async function look() {
    try {
      /** @type {EventPage | undefined} */
      const page = await question.ask();
      if (page === undefined) return;
      show(notice, '', () => []);
      // Nothing moves under somebody's fingers.
      if (!list.contains(document.activeElement)) showList(list, page);
      more.hidden = page.lookedTo === null;
      more.onclick = () => go({ before: page.lookedTo ?? undefined, position: undefined });
    } catch (error) {
      show(notice, String(error), () => [h('p', { class: 'notice', 'data-tone': 'bad' }, messageOf(error))]);
    }
  }
  async function lookAtOne() {
    const position = place().get('position');
    detail.hidden = position === null;
    if (position === null) return;
    try {
      /** @type {Timeline | undefined} */
      const timeline = await questionOfOne.ask();
      if (timeline !== undefined) show(detail, [position, timeline], () => timelineOf(position, timeline));
    } catch (error) {
      show(detail, [position, String(error)], () => [closing(position), h('p', {}, messageOf(error))]);
    }
  }
  return {
    /** @param {import('./state.js').State} state @param {{ moved: boolean }} why */
    update(state, { moved }) {
      if (moved) fillForm(form);
      if (moved || !state.paused) {
        // An older page does not change.
        if (moved || !place().has('before')) void look();
        void lookAtOne();
      }
    },
  };
}

function queryOf() {
  const at = place();
  const query = new URLSearchParams();
  for (const name of [...FILTERS, 'before']) if (at.get(name)) query.set(name, at.get(name) ?? '');
  return query;
}

function filterForm() {
  const form = h('form', { class: 'row', role: 'search', onsubmit: submit });
  for (const name of FILTERS)
    form.append(
      h(
        'label',
        {},
        name === 'id' ? 'Event id' : name[0]?.toUpperCase() + name.slice(1),
        h('input', { name, placeholder: HINTS[name], autocomplete: 'off', spellcheck: 'false' }),
      ),
    );
  form.append(
    h('button', { type: 'submit', class: 'primary' }, 'Filter'),
    h('button', { type: 'button', onclick: () => go({ view: 'events' }, { fresh: true }) }, 'All'),
  );
  return form;
}

/** @param {Event} event */
function submit(event) {
  event.preventDefault();
  const data = new FormData(/** @type {HTMLFormElement} */ (event.target));
  go(
    Object.fromEntries([
      ...FILTERS.map((name) => [name, String(data.get(name) ?? '').trim()]),
      ['before', undefined],
      ['position', undefined],
    ]),
  );
}

/** @param {HTMLElement} form */
function fillForm(form) {
  for (const name of FILTERS) {
    const input = form.querySelector(`[name=${name}]`);
    if (input instanceof HTMLInputElement) input.value = place().get(name) ?? '';
  }
}

/**
 * @param {Element} parent
 * @param {EventPage} page
 */
function showList(parent, { events, lookedTo }) {
  const open = place().get('position');
  show(parent, [events, open, lookedTo], () => [
    h(
      'div',
      { class: 'scroll' },
      h(
        'table',
        { class: 'cards' },
        h('caption', {}, captionOf(events, lookedTo)),
        h(
          'thead',
          {},
          h(
            'tr',
            {},
            ...['Position', 'Subject', 'Key', 'Type', 'Inserted', 'State', 'Sequence', 'Size'].map((title) =>
              h('th', { scope: 'col' }, title),
            ),
          ),
        ),
        h('tbody', {}, ...events.map((event) => rowOf(event, String(event.position) === open))),
      ),
    ),
  ]);
}

/** @param {readonly ListedEvent[]} events @param {number | null} lookedTo */
function captionOf(events, lookedTo) {
  if (events.length > 0) return 'Newest first; what is emptied from the outbox is not listed';
  return lookedTo === null
    ? 'No event in the outbox matches'
    : `No event down to position ${lookedTo} matches: there are older ones`;
}

/**
 * @param {ListedEvent} event
 * @param {boolean} open
 */
function rowOf({ position, subject, key, type, createdAtMs, state, planned, payloadBytes }, open) {
  const cell = (
    /** @type {string} */ label,
    /** @type {import('./dom.js').Child} */ content,
    /** @type {string} */ style = '',
  ) => h('td', { 'data-label': label, class: style }, content);
  const opener = h(
    'button',
    {
      type: 'button',
      class: 'link',
      'aria-expanded': String(open),
      onclick: () => go({ position: open ? undefined : position }),
    },
    position,
  );
  return h(
    'tr',
    {},
    cell('Position', opener),
    cell('Subject', subject, 'mono'),
    cell('Key', key ?? '', 'mono'),
    cell('Type', type ?? '', 'mono'),
    cell('Inserted', moment(createdAtMs), 'small'),
    cell('State', h('span', { class: 'tag', 'data-tone': TONES[state] }, state.replace('-', ' '))),
    cell(
      'Sequence',
      planned === null ? '' : planned.ordering === 'stream' ? planned.sequence : `from ${planned.sequence}`,
    ),
    cell('Size', bytes(payloadBytes)),
  );
}

/** @param {string} position */
function closing(position) {
  return h(
    'div',
    { class: 'row between' },
    h('h2', {}, `Event at position ${position}`),
    h('button', { type: 'button', onclick: () => go({ position: undefined }) }, 'Close'),
  );
}

/**
 * @param {string} position
 * @param {Timeline} timeline
 */
function timelineOf(position, timeline) {
  const { row } = timeline;
  return [
    closing(position),
    row === null
      ? h('p', { class: 'soft' }, 'The outbox has let go of it; the log still knows where it went.')
      : h(
          'dl',
          { class: 'small' },
          ...[
            ['Event id', row.eventId],
            ['Subject', row.subject],
            ['Key', row.key ?? '–'],
            ['Type', row.type ?? '–'],
            ['Payload', bytes(row.payloadBytes)],
          ].flatMap(([name, value]) => [h('dt', {}, name), h('dd', { class: 'mono' }, value)]),
        ),
    h('h3', { class: 'small soft' }, 'What became of it'),
    h(
      'ol',
      { class: 'steps' },
      ...stepsOf(timeline).map(({ tone, title, more }) =>
        h(
          'li',
          { 'data-tone': tone },
          h('strong', {}, title),
          h('br'),
          h('span', { class: 'small soft' }, more),
        ),
      ),
    ),
    row === null ? null : payloadButton(`position=${position}`),
  ];
}

/** @param {unknown} error */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
