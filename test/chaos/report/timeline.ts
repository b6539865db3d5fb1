import type { Moment, Span } from '../chronicle.ts';
import type { Play } from '../run.ts';

const WIDTH = 1_160;
const LABELS = 120;
const ROW = 22;
const SECOND_MS = 1_000;

/** A page that shows, for each play, who did what when: one row for each of the system's parts. */
export function renderTimeline(plays: readonly Play[]): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>postcommit chaos</title><style>${STYLE}</style></head>
<body><h1>postcommit chaos</h1>
<p>Bars last, dots are moments; hover or focus them for what they are. Red: a guarantee that did not hold.</p>
${plays.map(section).join('\n')}
</body></html>
`;
}

const STYLE = `
  body { font: 14px/1.45 system-ui, sans-serif; margin: 24px; color: #1d2733; background: #fff; }
  h2 { margin: 28px 0 4px; font-size: 17px; } .held { color: #1a7f4b; } .violated { color: #b3261e; }
  svg { display: block; max-width: 100%; } text { font-size: 11px; fill: #445; }
  .row { fill: #f3f5f8; } .row.odd { fill: #fafbfc; } .tick { stroke: #dde2e8; }
  .faults rect.span { fill: #d97706; } .sample { fill: #34a06b; } .leads { fill: #2563eb; } .runs { fill: #c7d2e0; } .span { fill: #7c93b2; }
  circle { fill: #475569; } .checker circle { fill: #b3261e; } dl { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 6px 0; }
  dt, dd { display: inline; margin: 0; } dt { color: #667; } td { padding: 0 14px 0 0; font-size: 12px; vertical-align: top; } li { font-family: ui-monospace, monospace; font-size: 12px; }`;

function section({ seed, scene, seconds, outcome, chronicle }: Play): string {
  const held = outcome.violations.length === 0;
  const facts = Object.entries(outcome.facts)
    .map(([name, value]) => `<div><dt>${asHtml(name)}</dt> <dd>${asHtml(String(value))}</dd></div>`)
    .join('');
  const violations = outcome.violations.map((text) => `<li class="violated">${asHtml(text)}</li>`).join('');
  return `<section><h2>seed ${seed}, ${asHtml(scene)}: <span class="${held ? 'held' : 'violated'}">${held ? 'held' : 'violated'}</span> <small>${seconds} s</small></h2>
<dl>${facts}</dl>${violations === '' ? '' : `<ul>${violations}</ul>`}
${drawing(chronicle.moments)}${listing(chronicle.moments)}</section>`;
}

/** What the bars and dots say, for those who read it from top to bottom. */
function listing(moments: readonly (Moment | Span)[]): string {
  const told = moments.filter(({ what }) => what !== 'sample').sort((a, b) => a.atMs - b.atMs);
  const start = told[0]?.atMs ?? 0;
  const rows = told.map((moment) => {
    const { when, who, what, details } = describe(moment, start);
    return `<tr><td>${when}</td><td>${asHtml(who)}</td><td>${asHtml(what)}</td><td>${asHtml(details)}</td></tr>`;
  });
  return `<details><summary>all of it, in words</summary><table>${rows.join('')}</table></details>`;
}

function drawing(moments: readonly (Moment | Span)[]): string {
  if (moments.length === 0) return '';
  const start = Math.min(...moments.map(({ atMs }) => atMs));
  const end = Math.max(...moments.map(endOf));
  const x = (atMs: number) => LABELS + ((atMs - start) / Math.max(1, end - start)) * (WIDTH - LABELS - 10);
  const rows = [...new Set(moments.map(({ who }) => who))].sort();
  const height = rows.length * ROW + 24;
  const bands = rows.map((who, i) => {
    const y = i * ROW;
    const own = moments.filter((moment) => moment.who === who).sort((a, b) => rank(a) - rank(b));
    const most = Math.max(0, ...own.map(({ what, value }) => (what === 'sample' ? Number(value) : 0)));
    return `<g class="${asHtml(who.replaceAll(' ', '-'))}"><rect class="row${i % 2 ? ' odd' : ''}" x="0" y="${y}" width="${WIDTH}" height="${ROW}"/>
<text x="4" y="${y + 15}">${asHtml(who)}</text>${own.map((moment) => mark(moment, { x, y, start, most })).join('')}</g>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" role="img" aria-label="timeline">${bands.join('')}${ticks({ start, end, x, height })}</svg>`;
}

/** What lasts longer lies below. */
function rank(moment: Moment | Span): number {
  return moment.what === 'runs' ? 0 : isSpan(moment) ? 1 : 2;
}

interface Scale {
  readonly x: (atMs: number) => number;
  readonly y: number;
  readonly start: number;
  /** The highest sample of the row, which fills it. */
  readonly most: number;
}

function mark(moment: Moment | Span, { x, y, start, most }: Scale): string {
  const { when, who, what, details } = describe(moment, start);
  const title = `<title>${asHtml(`${when}  ${who}: ${what} ${details}`)}</title>`;
  if (!isSpan(moment))
    return `<circle tabindex="0" cx="${x(moment.atMs)}" cy="${y + ROW / 2}" r="3">${title}</circle>`;
  const width = Math.max(2, x(moment.untilMs) - x(moment.atMs));
  const rect = (kind: string, top: number, height: number) =>
    `<rect tabindex="0" class="${kind}" x="${x(moment.atMs)}" y="${top}" width="${width}" height="${height}">${title}</rect>`;
  if (moment.what === 'sample') {
    const height = (Number(moment.value) / Math.max(1, most)) * (ROW - 2);
    return rect('sample', y + ROW - height, height);
  }
  const inset = moment.what === 'runs' ? 3 : 6;
  const kind = moment.what === 'runs' || moment.what === 'leads' ? moment.what : 'span';
  return rect(kind, y + inset, ROW - 2 * inset);
}

function describe(moment: Moment | Span, start: number) {
  const { atMs, who, what, untilMs, ...details } = moment as Span;
  const seconds = (ms: number) => ((ms - start) / SECOND_MS).toFixed(2);
  return {
    when: untilMs === undefined ? `${seconds(atMs)} s` : `${seconds(atMs)}–${seconds(untilMs)} s`,
    who,
    what,
    details: Object.keys(details).length === 0 ? '' : JSON.stringify(details),
  };
}

function ticks({
  start,
  end,
  x,
  height,
}: Omit<Scale, 'y' | 'most'> & { end: number; height: number }): string {
  const every = Math.max(1, Math.ceil((end - start) / SECOND_MS / 20)) * SECOND_MS;
  let lines = '';
  for (let at = start; at <= end; at += every)
    lines += `<line class="tick" x1="${x(at)}" x2="${x(at)}" y1="0" y2="${height - 20}"/><text x="${x(at)}" y="${height - 6}">${(at - start) / SECOND_MS} s</text>`;
  return lines;
}

function endOf(moment: Moment | Span): number {
  return isSpan(moment) ? moment.untilMs : moment.atMs;
}

function isSpan(moment: Moment | Span): moment is Span {
  return 'untilMs' in moment;
}

function asHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
