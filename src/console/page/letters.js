import { createQuestion } from './api.js';
import { createDecisions } from './decisions.js';
import { h, show } from './dom.js';
import { messageOf } from './events.js';
import { fillForm, filterForm, queryOf } from './letter-filter.js';
import { isOpen, tableOf } from './letter-table.js';
import { place } from './place.js';

/** @typedef {import('./letter-table.js').Page} Page */

/** @param {HTMLElement} root */
export function openLetters(root) {
  const form = filterForm();
  const notice = h('div', { 'aria-live': 'polite' });
  const list = h('div', {});
  /** @type {Page} */
  let page = { letters: [], more: false };
  const decisions = createDecisions({ say, onDecided: look });
  root.append(form, notice, decisions.element, h('section', { class: 'card' }, list));

  /** @param {string} tone @param {string} text */
  function say(tone, text) {
    show(notice, [tone, text, Date.now()], () => [h('p', { class: 'notice', 'data-tone': tone }, text)]);
  }
  const question = createQuestion(() => `/api/dead-letters?${queryOf()}`);
  /** What the list cannot be had for; what was said of a decision stays. */
  let trouble = '';

  async function look() {
    try {
      /** @type {Page | undefined} */
      const answer = await question.ask();
      if (answer === undefined) return;
      if (trouble !== '') notice.replaceChildren();
      trouble = '';
      page = answer;
    } catch (error) {
      if (trouble !== messageOf(error)) say('bad', messageOf(error));
      trouble = messageOf(error);
      // Of another filter: nothing may be decided by it.
      page = { letters: [], more: false };
    }
    draw();
  }
  function draw() {
    const { chosen, unlocked, choose } = decisions;
    const open = page.letters.filter(isOpen).map(({ id }) => id);
    decisions.offer(open);
    show(list, [page, unlocked(), place().get('letter')], () => [
      tableOf(page, { chosen, unlocked: unlocked(), onChoose: choose }),
    ]);
  }
  return {
    /** @param {import('./state.js').State} state @param {{ moved: boolean }} why */
    update(state, { moved }) {
      decisions.unlock(state.live?.access.unlocked === true);
      if (moved) page = { letters: [], more: false };
      fillForm(form, { state, moved });
      if (moved || !state.paused) void look();
    },
  };
}
