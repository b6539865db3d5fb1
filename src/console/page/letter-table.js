import { h } from './dom.js';
import { moment, plural } from './format.js';
import { payloadButton } from './payload.js';
import { go, place } from './place.js';

/**
 * @typedef {import('../../dead-letters/listing.ts').ListedLetter} Letter
 * @typedef {{ letters: Letter[], more: boolean }} Page
 */

const TONES = /** @type {Record<string, string>} */ ({
  parked: 'bad',
  held: 'warn',
  marking: 'warn',
  retrying: 'warn',
  resolved: 'good',
  discarded: 'quiet',
});

/** Something can still be decided about it. @param {Letter} letter */
export function isOpen({ state }) {
  return state === 'parked' || state === 'held';
}

/**
 * @param {Page} page
 * @param {{ chosen: ReadonlySet<number>, unlocked: boolean, onChoose: (id: number, on: boolean) => void }} options
 */
export function tableOf({ letters, more }, options) {
  const caption =
    letters.length === 0
      ? 'No dead letter matches'
      : `${plural(letters.length, 'dead letter')}, oldest first${more ? '; there are more, choose with the filter' : ''}`;
  const open = place().get('letter');
  return h(
    'div',
    { class: 'scroll' },
    h(
      'table',
      { class: 'cards' },
      h('caption', {}, caption),
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ...['Choose', 'Letter', 'State', 'Whose', 'Subject', 'Key', 'Attempts', 'Last failed', 'Why'].map(
            (title) =>
              h('th', { scope: 'col' }, title === 'Choose' ? h('span', { class: 'unseen' }, title) : title),
          ),
        ),
      ),
      h(
        'tbody',
        {},
        ...letters.flatMap((letter) => rowsOf(letter, { ...options, open: String(letter.id) === open })),
      ),
    ),
  );
}

/**
 * @param {Letter} letter
 * @param {{ chosen: ReadonlySet<number>, unlocked: boolean, open: boolean, onChoose: (id: number, on: boolean) => void }} options
 */
function rowsOf(letter, { chosen, unlocked, open, onChoose }) {
  const { id, state, outcome, stream, consumer, subject, key, attempts, lastFailedAt, reason } = letter;
  const tick = h('input', {
    type: 'checkbox',
    'aria-label': `Choose dead letter ${id}`,
    disabled: !unlocked || !isOpen(letter),
    onchange: (event) => onChoose(id, /** @type {HTMLInputElement} */ (event.target).checked),
  });
  if (tick instanceof HTMLInputElement) tick.checked = chosen.has(id);
  const cell = (
    /** @type {string} */ label,
    /** @type {import('./dom.js').Child} */ content,
    /** @type {string} */ style = '',
  ) => h('td', { 'data-label': label, class: style }, content);
  const row = h(
    'tr',
    { class: open ? 'open' : null },
    h('td', {}, tick),
    cell(
      'Letter',
      h(
        'button',
        {
          type: 'button',
          class: 'link',
          'aria-expanded': String(open),
          onclick: () => go({ letter: open ? undefined : id }),
        },
        id,
      ),
    ),
    cell('State', h('span', { class: 'tag', 'data-tone': TONES[state] ?? 'quiet' }, state)),
    cell('Whose', consumer === null ? `relay, ${stream}` : `${consumer}, ${stream}`),
    cell('Subject', subject, 'mono'),
    cell('Key', key ?? '', 'mono'),
    cell('Attempts', attempts),
    cell('Last failed', moment(Date.parse(lastFailedAt)), 'small'),
    cell('Why', `${outcome}: ${reason}`, 'small'),
  );
  return open ? [row, h('tr', {}, h('td', { colspan: 9 }, keptDetail(letter)))] : [row];
}

/** @type {{ letter: string, element: HTMLElement } | undefined} */
let kept;

/** Nothing that was shown stays. */
export function forgetDetail() {
  kept = undefined;
}

/** The same one as long as the letter is the same: what is open in it stays open. @param {Letter} letter */
function keptDetail(letter) {
  const text = JSON.stringify(letter);
  if (kept?.letter !== text) kept = { letter: text, element: h('div', {}, ...detailOf(letter)) };
  return kept.element;
}

/** @param {Letter} letter */
function detailOf({ id, eventId, position, type, firstFailedAt, history }) {
  return [
    h(
      'dl',
      { class: 'small' },
      ...[
        ['Event id', eventId],
        ['Type', type ?? '–'],
        ['Position', position === null ? '–' : String(position)],
        ['First failed', moment(Date.parse(firstFailedAt))],
      ].flatMap(([name, value]) => [h('dt', {}, name), h('dd', { class: 'mono' }, value)]),
    ),
    history.length === 0 ? null : h('h3', { class: 'small soft' }, 'Attempts'),
    history.length === 0
      ? null
      : h(
          'ol',
          { class: 'small' },
          ...history.map(({ at, reason }) => h('li', {}, `${moment(Date.parse(at))}: ${reason}`)),
        ),
    payloadButton(`letter=${id}`),
  ];
}
