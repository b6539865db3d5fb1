/** What is looked at is in the address, so that it can be shared, kept and gone back to. */

/** @returns {URLSearchParams} */
export function place() {
  return new URLSearchParams(location.search);
}

/** @type {Set<() => void>} */
const listeners = new Set();

/**
 * Changes parts of the address; empty values leave it.
 *
 * @param {Record<string, string | number | undefined>} changes
 * @param {{ replace?: boolean, fresh?: boolean }} [options] `replace`: no new entry in the history; `fresh`: forget the rest
 */
export function go(changes, { replace = false, fresh = false } = {}) {
  const next = fresh ? new URLSearchParams() : place();
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === '') next.delete(name);
    else next.set(name, String(value));
  }
  const address = `/?${next}`;
  if (replace) history.replaceState(null, '', address);
  else history.pushState(null, '', address);
  for (const listener of listeners) listener();
}

/** @param {() => void} listener */
export function onPlace(listener) {
  listeners.add(listener);
}

addEventListener('popstate', () => {
  for (const listener of listeners) listener();
});
