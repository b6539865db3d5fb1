import { asMarkup, pixel } from '../markup.ts';
import type { Scale } from './scale.ts';

/** What a chart leaves for its data, in pixels of the whole. */
export interface Plane {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export interface AxisDrawing {
  readonly scale: Scale;
  readonly label: string;
  readonly plane: Plane;
}

/** Grid, ticks and label below the plane. */
export function xAxis({ scale, label, plane }: AxisDrawing): string {
  const bottom = plane.top + plane.height;
  const ticks = scale.ticks.map((tick) => {
    const x = pixel(plane.left + tick.at * plane.width);
    return `<line class="grid" x1="${x}" x2="${x}" y1="${plane.top}" y2="${bottom}"/><text x="${x}" y="${bottom + 17}" text-anchor="middle">${asMarkup(tick.label)}</text>`;
  });
  const middle = pixel(plane.left + plane.width / 2);
  return `${ticks.join('')}<line class="axis" x1="${plane.left}" x2="${plane.left + plane.width}" y1="${bottom}" y2="${bottom}"/><text x="${middle}" y="${bottom + 36}" text-anchor="middle">${asMarkup(label)}</text>`;
}

/** Grid and ticks to the left of the plane; its label lies above it, where it need not be read sideways. */
export function yAxis({ scale, label, plane }: AxisDrawing): string {
  const right = plane.left + plane.width;
  const ticks = scale.ticks.map((tick) => {
    const y = pixel(plane.top + (1 - tick.at) * plane.height);
    return `<line class="grid" x1="${plane.left}" x2="${right}" y1="${y}" y2="${y}"/><text x="${plane.left - 7}" y="${y}" dy=".35em" text-anchor="end">${asMarkup(tick.label)}</text>`;
  });
  return `${ticks.join('')}<text x="6" y="${plane.top - 12}">${asMarkup(label)}</text>`;
}
