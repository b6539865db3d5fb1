import { h } from './dom.js';
import { go, place } from './place.js';

const OUTCOMES = ['refused', 'misrouted', 'moved', 'held', 'failed'];
const FIELDS = ['consumer', 'stream', 'outcome', 'key', 'all'];

/** As the list asks for it. */
export function queryOf() {
  const at = place();
  const query = new URLSearchParams();
  for (const name of FIELDS) if (at.get(name)) query.set(name, at.get(name) ?? '');
  return query;
}

/** As a decision says it. */
export function filterOf() {
  const at = place();
  const text = (/** @type {string} */ name) => at.get(name) || undefined;
  return {
    stream: text('stream'),
    outcome: text('outcome'),
    consumer: text('consumer'),
    keys: text('key') === undefined ? undefined : [text('key')],
  };
}

/** Undefined: nothing is chosen by the filter. Without a consumer a filter means the relay's. */
export function filterWords() {
  const { stream, outcome, consumer, keys } = filterOf();
  const words = [
    consumer === undefined ? undefined : `of the consumer ${consumer}`,
    stream === undefined ? undefined : `of the stream ${stream}`,
    outcome === undefined ? undefined : `that was ${outcome}`,
    keys === undefined ? undefined : `with the key ${keys[0]}`,
  ].filter((word) => word !== undefined);
  if (words.length === 0) return undefined;
  return `${consumer === undefined && outcome !== 'failed' ? 'of the relay ' : ''}${words.join(' and ')}`;
}

export function filterForm() {
  const form = h('form', { class: 'row', role: 'search', onsubmit: submit });
  const select = (/** @type {string} */ name, /** @type {string} */ title, /** @type {string[]} */ values) =>
    h(
      'label',
      {},
      title,
      h(
        'select',
        { name, onchange: () => /** @type {HTMLFormElement} */ (form).requestSubmit() },
        h('option', { value: '' }, 'any'),
        ...values.map((value) => h('option', { value }, value)),
      ),
    );
  form.append(
    select('consumer', 'Consumer', []),
    select('stream', 'Stream', []),
    select('outcome', 'Why', OUTCOMES),
    h('label', {}, 'Key', h('input', { name: 'key', autocomplete: 'off', spellcheck: 'false' })),
    h(
      'label',
      { class: 'tick' },
      h('input', {
        type: 'checkbox',
        name: 'all',
        onchange: () => /** @type {HTMLFormElement} */ (form).requestSubmit(),
      }),
      'also those that are over',
    ),
    h('button', { type: 'submit', class: 'primary' }, 'Filter'),
    h('button', { type: 'button', onclick: () => go({ view: 'letters' }, { fresh: true }) }, 'All'),
  );
  return form;
}

/** @param {Event} event */
function submit(event) {
  event.preventDefault();
  const data = new FormData(/** @type {HTMLFormElement} */ (event.target));
  const text = (/** @type {string} */ name) => String(data.get(name) ?? '').trim();
  go({
    consumer: text('consumer'),
    stream: text('stream'),
    outcome: text('outcome'),
    key: text('key'),
    all: data.has('all') ? '1' : undefined,
  });
}

/**
 * What the selects offer grows with what is seen; the values are those of the address.
 *
 * @param {HTMLElement} form
 * @param {{ state: import('./state.js').State, moved: boolean }} options
 */
export function fillForm(form, { state, moved }) {
  const offered = offeredBy(state);
  for (const name of FIELDS) {
    const field = form.querySelector(`[name=${name}]`);
    const wanted = place().get(name) ?? '';
    if (field instanceof HTMLSelectElement) offer(field, [...(offered[name] ?? []), wanted]);
    if (!moved && !(field instanceof HTMLSelectElement)) continue;
    if (field instanceof HTMLInputElement && field.type === 'checkbox') field.checked = wanted !== '';
    else if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement) field.value = wanted;
  }
}

/**
 * @param {import('./state.js').State} state
 * @returns {Record<string, string[]>}
 */
function offeredBy({ live }) {
  const database = live?.system.database;
  if (database?.kind !== 'seen') return {};
  const { letters, lanes } = database.value;
  return {
    consumer: letters.flatMap(({ consumer }) => (consumer === null ? [] : [consumer])),
    stream: [...lanes, ...letters].map(({ stream }) => stream),
  };
}

/** @param {HTMLSelectElement} select @param {string[]} values */
function offer(select, values) {
  const present = new Set([...select.options].map(({ value }) => value));
  for (const value of new Set(values))
    if (value !== '' && !present.has(value)) select.append(h('option', { value }, value));
}
