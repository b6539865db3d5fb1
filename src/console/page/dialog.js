import { h } from './dom.js';

/**
 * Asks before something is done. Resolves to whether it was confirmed; Escape and a click on Cancel are no.
 *
 * @param {{ title: string, text: string, action: string, danger?: boolean }} question
 * @returns {Promise<boolean>}
 */
export function confirmed({ title, text, action, danger = false }) {
  const dialog = /** @type {HTMLDialogElement} */ (
    h(
      'dialog',
      { 'aria-labelledby': 'question' },
      h('h2', { id: 'question' }, title),
      h('p', {}, text),
      h(
        'div',
        { class: 'row' },
        h('button', { type: 'button', onclick: () => dialog.close('no') }, 'Cancel'),
        h(
          'button',
          { type: 'button', class: danger ? 'danger' : 'primary', onclick: () => dialog.close('yes') },
          action,
        ),
      ),
    )
  );
  return opened(dialog).then((answer) => answer === 'yes');
}

/**
 * Asks for the token. Resolves to what was given, undefined if nothing was.
 *
 * @returns {Promise<string | undefined>}
 */
export async function askToken() {
  const input = /** @type {HTMLInputElement} */ (
    h('input', { type: 'password', autocomplete: 'off', required: true, id: 'token' })
  );
  const dialog = /** @type {HTMLDialogElement} */ (
    h(
      'dialog',
      { 'aria-labelledby': 'question' },
      h(
        'form',
        {
          onsubmit: (event) => {
            event.preventDefault();
            dialog.close('yes');
          },
        },
        h('h2', { id: 'question' }, 'Unlock'),
        h(
          'p',
          { class: 'soft small' },
          'With the token of the relay (POSTCOMMIT_CONSOLE_TOKEN) dead letters can be retried and discarded, and payloads seen. It is kept in this tab until that is closed.',
        ),
        h('label', { for: 'token' }, 'Token', input),
        h(
          'div',
          { class: 'row' },
          h('button', { type: 'button', onclick: () => dialog.close('no') }, 'Cancel'),
          h('button', { type: 'submit', class: 'primary' }, 'Unlock'),
        ),
      ),
    )
  );
  return (await opened(dialog)) === 'yes' ? input.value.trim() : undefined;
}

/**
 * @param {HTMLDialogElement} dialog
 * @returns {Promise<string>}
 */
function opened(dialog) {
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
  });
}
