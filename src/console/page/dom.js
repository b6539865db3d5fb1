/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element with attributes and children. Never from text that is parsed as HTML.
 *
 * @param {string} tag
 * @param {Record<string, string | number | boolean | null | undefined | ((event: Event) => void)>} [attributes] functions are
 *   listeners (`onclick`); true is an empty attribute; null, undefined and false are none
 * @param {...Child} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/**
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...Child} children
 * @returns {SVGElement}
 */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  fill(element, attributes, children);
  return element;
}

/**
 * @param {Element} element
 * @param {Record<string, unknown>} attributes
 * @param {Child[]} children
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function')
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children)
    if (child !== null && child !== undefined && child !== false) element.append(asNode(child));
}

/** @param {Node | string | number} child */
function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no #${id}`);
  return element;
}

/**
 * Replaces what an element shows, but only if it changed: what has the focus, or is selected, stays.
 *
 * @param {Element} parent
 * @param {unknown} content what it is made of
 * @param {() => Child[]} make
 */
export function show(parent, content, make) {
  const text = JSON.stringify(content);
  if (shown.get(parent) === text) return;
  shown.set(parent, text);
  parent.replaceChildren(
    ...make()
      .filter((child) => child !== null && child !== undefined && child !== false)
      .map(asShown),
  );
}

/** @param {Child} child */
function asShown(child) {
  return child instanceof Node ? child : String(child);
}

/** @type {WeakMap<Element, string>} */
const shown = new WeakMap();

/**
 * A table whose cells carry their headings, for narrow screens.
 *
 * @param {{ caption?: string, columns: { title: string, num?: boolean }[], rows: Child[][] }} content
 */
export function table({ caption, columns, rows }) {
  return h(
    'div',
    { class: 'scroll' },
    h(
      'table',
      { class: 'cards' },
      caption === undefined ? null : h('caption', {}, caption),
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ...columns.map(({ title, num }) => h('th', { scope: 'col', class: num ? 'num' : null }, title)),
        ),
      ),
      h(
        'tbody',
        {},
        ...rows.map((cells) =>
          h(
            'tr',
            {},
            ...cells.map((cell, i) =>
              h('td', { 'data-label': columns[i]?.title, class: columns[i]?.num ? 'num' : null }, cell),
            ),
          ),
        ),
      ),
    ),
  );
}
