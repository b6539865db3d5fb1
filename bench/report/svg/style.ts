/** Dark on white and light on black; told apart by hue and by lightness, for those who see fewer hues. */
const COLOURS = [
  ['#0b62b0', '#6db6ff'],
  ['#c04a00', '#ff9d5c'],
  ['#007a5a', '#3fd0a4'],
  ['#8e3a84', '#f0a6e4'],
  ['#5a5f66', '#c3c9d1'],
  ['#806000', '#e8c547'],
] as const;

/** By place as well: two lines that share a colour, or look alike in print, are dashed in different ways. */
const DASHES = ['none', '9 4', '2 3', '10 3 2 3', '5 2', '1 5'] as const;

export interface LineLook {
  readonly className: string;
  readonly dashes: string;
}

export function lookOf(index: number): LineLook {
  const lap = Math.floor(index / COLOURS.length);
  return {
    className: `c${index % COLOURS.length}`,
    dashes: DASHES[(index + lap) % DASHES.length] ?? 'none',
  };
}

function variables(theme: 0 | 1, names: Readonly<Record<string, readonly [string, string]>>): string {
  const own = Object.entries(names).map(([name, values]) => `--${name}:${values[theme]}`);
  const lines = COLOURS.map((colours, i) => `--c${i}:${colours[theme]}`);
  return [...own, ...lines].join(';');
}

const INKS = {
  card: ['#ffffff', '#18202b'],
  ink: ['#16202e', '#e6ebf3'],
  soft: ['#566275', '#9aa7ba'],
  grid: ['#e3e7ed', '#2b3645'],
} as const;

/** Of every chart; one that stands alone carries it, a page has it once. */
export const CHART_STYLE = `.chart{${variables(0, INKS)};font:13px system-ui,sans-serif}
@media(prefers-color-scheme:dark){.chart{${variables(1, INKS)}}}
.chart .paper{fill:var(--card)}.chart text{fill:var(--soft)}.chart .name{fill:var(--ink)}.chart .title{fill:var(--ink);font-weight:600;font-size:14px}
.chart .grid{stroke:var(--grid)}.chart .axis{stroke:var(--soft)}
.chart .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:butt}.chart .dot{stroke:none}
.chart .halo{stroke:var(--card);stroke-width:4.5;stroke-linecap:square;fill:none}.chart .whisker{stroke:var(--ink);stroke-width:1.5;fill:none}.chart .beside{fill:var(--soft);fill-opacity:.18;stroke:var(--soft)}
${COLOURS.map((_, i) => `.chart .c${i}{stroke:var(--c${i})}.chart .dot.c${i},.chart .bar.c${i}{fill:var(--c${i})}`).join('')}`;
