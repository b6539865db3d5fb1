import { h, s } from './dom.js';
import { clock } from './format.js';

/**
 * @typedef {{ atMs: number, value: number }} Point
 * @typedef {{ fromMs: number, toMs: number, line: Point[], dots?: Point[], breakMs?: number }} PlotData
 */

const HEIGHT = 150;
const LEFT = 44;
const BOTTOM = 20;
const TOP = 8;

/**
 * A plot over time. The picture says in words what it shows; the last value and the highest are its label.
 *
 * @param {{ title: string, unit: (value: number) => string, filled?: boolean }} options
 */
export function createPlot({ title, unit, filled = false }) {
  const svg = s('svg', { class: 'plot', role: 'img', preserveAspectRatio: 'none' });
  const head = h('div', { class: 'row between' }, h('h2', {}, title));
  const now = h('span', { class: 'soft small' });
  head.append(now);
  const element = h('section', { class: 'card' }, head, svg);
  /** @type {PlotData | undefined} */
  let data;
  /** @type {number | undefined} */
  let pointer;

  function draw() {
    if (data === undefined) return;
    const width = Math.max(240, svg.clientWidth || 480);
    svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    const { fromMs, toMs, line, dots = [] } = data;
    const top = niceTop(Math.max(highest(line), highest(dots)));
    const x = (/** @type {number} */ atMs) => LEFT + ((atMs - fromMs) / (toMs - fromMs)) * (width - LEFT);
    const y = (/** @type {number} */ value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
    svg.replaceChildren(
      ...axes({ width, top, fromMs, toMs, x, y, unit }),
      ...stretches(data).flatMap((points) => strokes(points, { x, y, filled })),
      ...dots.map(({ atMs, value }) =>
        s('circle', { class: 'dot', cx: x(atMs).toFixed(1), cy: y(value).toFixed(1), r: 2.2 }),
      ),
      ...(pointer === undefined ? [] : cross({ width, x, y, unit, data, pointer })),
    );
  }
  svg.addEventListener('pointermove', (event) => {
    pointer = event.offsetX / Math.max(1, svg.clientWidth);
    draw();
  });
  svg.addEventListener('pointerleave', () => {
    pointer = undefined;
    draw();
  });
  new ResizeObserver(draw).observe(svg);
  return {
    element,
    /**
     * @param {PlotData} next
     * @param {string} words what it says at present
     */
    update(next, words) {
      data = next;
      now.textContent = words;
      svg.setAttribute('aria-label', `${title}: ${words}`);
      draw();
    },
  };
}

/** @param {readonly Point[]} points */
export function highest(points) {
  return points.reduce((most, { value }) => Math.max(most, value), 0);
}

/** @param {number} value */
function niceTop(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 2.5, 5, 10].find((one) => one * power >= value) ?? 10;
  return step * power;
}

/**
 * @param {{ width: number, top: number, fromMs: number, toMs: number, x: (atMs: number) => number, y: (value: number) => number,
 *   unit: (value: number) => string }} scale
 */
function axes({ width, top, fromMs, toMs, x, y, unit }) {
  const lines = [0, top / 2, top].flatMap((value) => [
    s('line', { class: 'axis', x1: LEFT, x2: width, y1: y(value), y2: y(value) }),
    s('text', { x: LEFT - 6, y: y(value) + 4, 'text-anchor': 'end' }, value === 0 ? '0' : unit(value)),
  ]);
  const minutes = (toMs - fromMs) / 60_000;
  const stepMs = (minutes > 20 ? 10 : minutes > 10 ? 5 : 1) * 60_000;
  for (let atMs = Math.ceil(fromMs / stepMs) * stepMs; atMs < toMs; atMs += stepMs)
    if (x(atMs) > LEFT + 14 && x(atMs) < width - 18)
      lines.push(s('text', { x: x(atMs), y: HEIGHT - 4, 'text-anchor': 'middle' }, clock(atMs).slice(0, 5)));
  return lines;
}

/** Where nobody looked there is no line. @param {PlotData} data */
function stretches({ line, breakMs = Number.POSITIVE_INFINITY }) {
  /** @type {Point[][]} */
  const all = [];
  for (const point of line) {
    const last = all.at(-1)?.at(-1);
    if (last === undefined || point.atMs - last.atMs > breakMs) all.push([point]);
    else all.at(-1)?.push(point);
  }
  return all;
}

/**
 * @param {Point[]} points
 * @param {{ x: (atMs: number) => number, y: (value: number) => number, filled: boolean }} scale
 */
function strokes(points, { x, y, filled }) {
  const path = points
    .map(({ atMs, value }, i) => `${i === 0 ? 'M' : 'L'}${x(atMs).toFixed(1)} ${y(value).toFixed(1)}`)
    .join('');
  const line = s('path', { class: 'line', d: points.length === 1 ? `${path}h1` : path });
  const [first, last] = [points[0], points.at(-1)];
  if (!filled || first === undefined || last === undefined) return [line];
  const floor = `L${x(last.atMs).toFixed(1)} ${y(0)}L${x(first.atMs).toFixed(1)} ${y(0)}Z`;
  return [s('path', { class: 'area', d: path + floor }), line];
}

/**
 * @param {{ width: number, x: (atMs: number) => number, y: (value: number) => number, unit: (value: number) => string,
 *   data: PlotData, pointer: number }} at
 */
function cross({ width, x, y, unit, data, pointer }) {
  const points = [...data.line, ...(data.dots ?? [])];
  const wanted = pointer * width;
  const near = points.reduce(
    (/** @type {Point | undefined} */ best, point) =>
      best === undefined || Math.abs(x(point.atMs) - wanted) < Math.abs(x(best.atMs) - wanted) ? point : best,
    undefined,
  );
  if (near === undefined) return [];
  const place = x(near.atMs);
  const end = place > width - 130;
  return [
    s('line', { class: 'cross', x1: place, x2: place, y1: TOP, y2: y(0) }),
    s('circle', { class: 'dot', cx: place, cy: y(near.value), r: 4 }),
    s(
      'text',
      { class: 'hint', x: place + (end ? -8 : 8), y: TOP + 12, 'text-anchor': end ? 'end' : 'start' },
      `${unit(near.value)} at ${clock(near.atMs)}`,
    ),
  ];
}
