import { ask } from './api.js';
import { confirmed } from './dialog.js';
import { h, show } from './dom.js';
import { messageOf } from './events.js';
import { plural } from './format.js';
import { filterOf, filterWords } from './letter-filter.js';

/** @typedef {{ request?: number, result: Record<string, unknown> | null }} Answer */

/**
 * Retry and discard: of the chosen ones, or of all that the filter means.
 *
 * @param {{ say: (tone: string, text: string) => void, onDecided: () => Promise<void> }} options
 */
export function createDecisions({ say, onDecided }) {
  const element = h('div', { class: 'row', role: 'group', 'aria-label': 'Decide' });
  /** @type {Set<number>} */
  const chosen = new Set();
  let open = 0;
  let unlocked = false;

  function draw() {
    const filtered = filterWords();
    show(element, [[...chosen], unlocked, open > 0, filtered], () => {
      if (open === 0 && filtered === undefined) return [];
      if (!unlocked)
        return [h('p', { class: 'soft small' }, 'Unlock the console with its token to retry or discard.')];
      return [
        ...pair(chosen.size === 0, plural(chosen.size, 'chosen one')),
        ...(filtered === undefined ? [] : pair(false, `every one ${filtered}`, filtered)),
      ];
    });
  }
  /** @param {boolean} disabled @param {string} which @param {string} [filtered] */
  function pair(disabled, which, filtered) {
    const style = filtered === undefined ? 'primary' : null;
    return [
      h(
        'button',
        { type: 'button', class: style, disabled, onclick: () => void decide('retry', filtered) },
        `Retry ${which}`,
      ),
      h(
        'button',
        { type: 'button', class: 'danger', disabled, onclick: () => void decide('discard', filtered) },
        `Discard ${which}`,
      ),
    ];
  }
  /** @param {'retry' | 'discard'} action @param {string} [filtered] */
  async function decide(action, filtered) {
    const which = filtered === undefined ? { ids: [...chosen] } : filterOf();
    const whose =
      filtered === undefined
        ? plural(chosen.size, 'dead letter')
        : `every dead letter ${filtered}, also what is not listed here`;
    if (!(await confirmed(question(action, whose)))) return;
    try {
      /** @type {Answer} */
      const answer = await ask('/api/dead-letters', { post: { action, ...which } });
      chosen.clear();
      say(isGood(answer) ? 'good' : 'warn', wordsOf(answer));
    } catch (error) {
      say('bad', messageOf(error));
    }
    await onDecided();
  }
  return {
    element,
    chosen: /** @type {ReadonlySet<number>} */ (chosen),
    unlocked: () => unlocked,
    /** @param {boolean} on */
    unlock(on) {
      unlocked = on;
      draw();
    },
    /** What can be decided about now. @param {number[]} ids */
    offer(ids) {
      open = ids.length;
      for (const id of chosen) if (!ids.includes(id)) chosen.delete(id);
      draw();
    },
    /** @param {number} id @param {boolean} on */
    choose(id, on) {
      if (on) chosen.add(id);
      else chosen.delete(id);
      draw();
    },
  };
}

/** @param {'retry' | 'discard'} action @param {string} whose */
function question(action, whose) {
  return action === 'retry'
    ? {
        title: 'Retry?',
        text: `${whose}: published again behind everything planned, or handled again by the consumer.`,
        action: 'Retry',
      }
    : {
        title: 'Discard?',
        text: `${whose}: given up for good. What waits behind them goes on.`,
        action: 'Discard',
        danger: true,
      };
}

/** @param {Answer} answer */
function isGood({ result }) {
  return result !== null && !('error' in result);
}

/** @param {Answer} answer */
function wordsOf({ request, result }) {
  if (result === null)
    return `No relay has answered request ${request} yet. It stays, and is taken up by the next one that leads.`;
  if (typeof result.error === 'string') return result.error;
  const counts = Object.entries(result).flatMap(([name, value]) =>
    typeof value === 'number' ? [`${value} ${name}`] : [],
  );
  return counts.length === 0 ? 'Done.' : `${counts.join(', ')}.`;
}
