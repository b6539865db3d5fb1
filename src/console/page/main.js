import { ask, token } from './api.js';
import { askToken, confirmed } from './dialog.js';
import { byId, h, show } from './dom.js';
import { openEvents } from './events.js';
import { clock, count } from './format.js';
import { forgetDetail } from './letter-table.js';
import { openLetters } from './letters.js';
import { openOverview } from './overview.js';
import { go, onPlace, place } from './place.js';
import { createState, letterCount } from './state.js';
import { openStreams } from './streams.js';
import { followTheme } from './theme.js';
import { verdict } from './verdict.js';

/** @typedef {import('./state.js').State} State */
/** @typedef {{ update(state: State, why: { moved: boolean }): void }} View */

/** @type {Record<string, { title: string, open: (root: HTMLElement) => View }>} */
const VIEWS = {
  overview: { title: 'Overview', open: openOverview },
  events: { title: 'Events', open: openEvents },
  letters: { title: 'Dead letters', open: openLetters },
  streams: { title: 'Streams and consumers', open: openStreams },
};

const root = byId('view');
const watched = createState(draw);
/** @type {{ name: string, view: View } | undefined} */
let current;

/** @param {boolean} moved */
function openView(moved) {
  const wanted = place().get('view') ?? 'overview';
  const name = Object.hasOwn(VIEWS, wanted) ? wanted : 'overview';
  if (current?.name !== name) {
    root.replaceChildren();
    const { open, title } = VIEWS[name] ?? { open: openOverview, title: '' };
    root.append(h('h1', { class: 'unseen' }, title));
    current = { name, view: open(root) };
    document.title = `${title} – postcommit`;
    for (const link of document.querySelectorAll('nav a'))
      if (link instanceof HTMLElement && link.dataset.view === name)
        link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
  }
  current.view.update(watched.state, { moved });
}

/** @param {State} state */
function draw(state) {
  const { tone, text } = verdict(state);
  const status = byId('status');
  status.dataset.tone = tone;
  status.textContent = text;
  // A screen reader is told of changes, not of each second that passes.
  const spoken = text.replaceAll(/\d[\d.,]*( ?(ms|s|min|h|days)\b)?/g, '').replaceAll(/\s+/g, ' ');
  if (byId('spoken').dataset.text !== spoken) {
    byId('spoken').dataset.text = spoken;
    byId('spoken').textContent = text;
  }
  const { live } = state;
  if (live !== undefined) {
    const { database } = live.system;
    byId('database').textContent = database.kind === 'seen' ? database.value.name : '';
    const letters = letterCount(live);
    byId('letters-count').hidden = letters === 0;
    byId('letters-count').textContent = count(letters);
    const unlock = byId('unlock');
    unlock.hidden = !live.access.token;
    unlock.textContent = live.access.unlocked ? 'Lock' : 'Unlock';
    const words = `postcommit ${live.version}. As of ${clock(live.atMs)}. ${live.access.token ? '' : 'Read-only: no token is set. '}`;
    show(byId('footer'), words, () => [
      words,
      // A console in a process of its own has none.
      live.relay === null ? null : h('a', { href: '/metrics' }, 'Metrics'),
    ]);
  }
  openView(false);
}

async function unlock() {
  if (watched.state.live?.access.unlocked) {
    token.set('');
    // What was shown goes, too.
    forgetDetail();
    current = undefined;
    return watched.look();
  }
  const given = await askToken();
  if (given === undefined) return;
  const answer = /^[\x20-\x7e]+$/.test(given)
    ? await tried(given)
    : 'That is not the token: it has other characters.';
  if (answer === undefined) token.set(given);
  else await confirmed({ title: 'Not unlocked', text: answer, action: 'OK' });
  await watched.look();
}

/**
 * What is wrong with a token; undefined if it opens.
 *
 * @param {string} bearer
 */
async function tried(bearer) {
  try {
    /** @type {import('./state.js').Live} */
    const live = await ask('/api/live', { bearer });
    return live.access.unlocked ? undefined : 'That is not the token.';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

byId('pause').addEventListener('click', () => {
  const paused = !watched.state.paused;
  byId('pause').setAttribute('aria-pressed', String(paused));
  byId('pause').textContent = paused ? 'Go on' : 'Pause';
  watched.pause(paused);
});
byId('unlock').addEventListener('click', () => void unlock());
for (const link of document.querySelectorAll('nav a'))
  link.addEventListener('click', (event) => {
    if (!(event instanceof MouseEvent) || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go({ view: link instanceof HTMLElement ? link.dataset.view : 'overview' }, { fresh: true });
  });
document.addEventListener('keydown', (event) => {
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog') !== null)
    return;
  const button = { p: 'pause', t: 'theme' }[event.key];
  if (button !== undefined) byId(button).click();
});
onPlace(() => openView(true));
followTheme(byId('theme'));
openView(true);
void watched.look();
