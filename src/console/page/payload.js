import { ask, Refusal } from './api.js';
import { h } from './dom.js';
import { bytes } from './format.js';

/** @typedef {{ bytes: number, shownBytes: number, form: 'text' | 'hex', content: string }} Payload */

/**
 * Hidden until it is asked for: it may be about a person.
 *
 * @param {string} query `position=…` or `letter=…`
 */
export function payloadButton(query) {
  const place = h('div', { 'aria-live': 'polite' });
  const button = h(
    'button',
    { type: 'button', 'aria-expanded': 'false', onclick: () => void toggle() },
    'Show the payload',
  );
  async function toggle() {
    const open = button.getAttribute('aria-expanded') === 'true';
    button.setAttribute('aria-expanded', String(!open));
    button.textContent = open ? 'Show the payload' : 'Hide the payload';
    place.replaceChildren();
    if (open) return;
    const content = await look(query);
    // It may have been hidden meanwhile.
    if (button.getAttribute('aria-expanded') === 'true') place.replaceChildren(content);
  }
  return h('div', {}, button, place);
}

/** @param {string} query */
async function look(query) {
  try {
    /** @type {Payload} */
    const { bytes: size, shownBytes, form, content } = await ask(`/api/payload?${query}`);
    const cut = shownBytes < size ? `, the first ${bytes(shownBytes)} of it` : '';
    return h(
      'div',
      {},
      h('p', { class: 'small soft' }, `${bytes(size)}, as ${form}${cut}`),
      h('pre', { tabindex: '0' }, form === 'text' ? pretty(content) : content),
    );
  } catch (error) {
    const text =
      error instanceof Refusal && error.status === 401
        ? 'Unlock the console with its token to see payloads.'
        : error instanceof Error
          ? error.message
          : String(error);
    return h('p', { class: 'notice' }, text);
  }
}

/** @param {string} text */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
