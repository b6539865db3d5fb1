import { asMarkup, pixel } from '../markup.ts';
import type { Line, Plot } from '../result.ts';
import { type Plane, xAxis, yAxis } from './axis.ts';
import { legendOf } from './legend.ts';
import { type Scale, scaleOf } from './scale.ts';
import { CHART_STYLE, lookOf } from './style.ts';

const WIDTH = 440;
const PLANE_HEIGHT = 230;
const LEFT = 52;
const RIGHT = 22;
const BELOW = 46;
/** With more of them a line says it alone. */
const MOST_DOTS = 16;

/** A plot to be put into a page that has `CHART_STYLE`. It is as wide as its place there. */
export function lineChart(plot: Plot): string {
  const { width, height, inside } = drawingOf(plot, 8);
  return `<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="${asMarkup(altOf(plot))}">${inside}</svg>`;
}

/** The same as a file of its own, with its title and its colours, on a ground of its own. */
export function lineChartFile(plot: Plot): string {
  const { width, height, inside } = drawingOf(plot, 32);
  const title = `<text class="title" x="6" y="20">${asMarkup(plot.title)}</text>`;
  return `<svg class="chart" xmlns="http://www.w3.org/2000/svg" width="${width * 1.5}" height="${height * 1.5}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${asMarkup(altOf(plot))}"><style>${CHART_STYLE}</style><rect class="paper" width="100%" height="100%" rx="6"/>${title}${inside}</svg>\n`;
}

function drawingOf(plot: Plot, top: number) {
  const legend = legendOf(
    plot.lines.map(({ name }) => name),
    { left: 6, top, width: WIDTH - 12 },
  );
  const plane = {
    left: LEFT,
    top: top + legend.height + 30,
    width: WIDTH - LEFT - RIGHT,
    height: PLANE_HEIGHT,
  };
  const inside = [legend.drawing, ...layersOf(plot, plane)].join('\n');
  return { width: WIDTH, height: plane.top + PLANE_HEIGHT + BELOW, inside };
}

function layersOf({ x, y, lines }: Plot, plane: Plane): string[] {
  const points = lines.flatMap((line) => line.points);
  const scales = {
    x: scaleOf(
      x.scale ?? 'linear',
      points.map(([value]) => value),
    ),
    y: scaleOf(
      y.scale ?? 'linear',
      points.map(([, value]) => value),
    ),
  };
  const drawn = lines.map((line, i) => lineDrawing(piecesOf(line, { scales, plane }), i));
  const isEmpty = drawn.every((drawing) => drawing === '');
  const middle = pixel(plane.left + plane.width / 2);
  return [
    yAxis({ scale: scales.y, label: y.label, plane }),
    xAxis({ scale: scales.x, label: x.label, plane }),
    ...drawn,
    ...(isEmpty
      ? [`<text x="${middle}" y="${plane.top + PLANE_HEIGHT / 2}" text-anchor="middle">no data</text>`]
      : []),
  ];
}

type Spot = readonly [x: string, y: string];

/** What can be drawn without a gap: a point that no axis can show ends a piece. */
function piecesOf(
  { points }: Line,
  { scales, plane }: { scales: { x: Scale; y: Scale }; plane: Plane },
): Spot[][] {
  const pieces: Spot[][] = [[]];
  for (const [x, y] of points) {
    const [across, up] = [scales.x.at(x), scales.y.at(y)];
    if (across === undefined || up === undefined) pieces.push([]);
    else
      pieces
        .at(-1)
        ?.push([pixel(plane.left + across * plane.width), pixel(plane.top + (1 - up) * plane.height)]);
  }
  return pieces.filter((piece) => piece.length > 0);
}

function lineDrawing(pieces: readonly Spot[][], index: number): string {
  const { className, dashes } = lookOf(index);
  const path = pieces
    .filter((piece) => piece.length > 1)
    .map((piece) => `M${piece.map(([x, y]) => `${x} ${y}`).join('L')}`)
    .join('');
  const spots = pieces.flat();
  // A single point between two gaps is no line, and would not be seen.
  const dotted = spots.length <= MOST_DOTS ? spots : pieces.filter((piece) => piece.length === 1).flat();
  const dots = dotted.map(([x, y]) => `<circle class="dot ${className}" cx="${x}" cy="${y}" r="3.2"/>`);
  return `${path === '' ? '' : `<path class="line ${className}" stroke-dasharray="${dashes}" d="${path}"/>`}${dots.join('')}`;
}

function altOf({ title, x, y, lines }: Plot): string {
  return `${title}: ${y.label} by ${x.label}; ${lines.map(({ name }) => name).join(', ')}`;
}
