import { asMarkup } from './markup.ts';
import { type BenchResult, isMet } from './result.ts';
import { askedOf, figure, ratioOf } from './table.ts';

/** The results as a table; each row becomes a card of its own where there is no room. */
export function htmlTable(results: readonly BenchResult[]): string {
  if (results.length === 0) return '<p>Nothing was measured.</p>';
  const head = [{ title: 'measured', isText: true }, ...COLUMNS].map(
    ({ title, isText }) => `<th scope="col"${isText ? ' class="text"' : ''}>${title}</th>`,
  );
  return `<div class="wide"><table><thead><tr>${head.join('')}</tr></thead><tbody>
${results.map(row).join('\n')}
</tbody></table></div>`;
}

/** Met or missed, in words and with a mark: a colour says nothing to some, and nothing in print. */
function verdict(result: BenchResult): string {
  const met = isMet(result);
  if (met === undefined) return '';
  return met ? '<span class="met">✓ met</span>' : '<span class="missed">✗ MISSED</span>';
}

interface Column {
  readonly title: string;
  readonly isText?: boolean;
  /** Markup; empty where there is nothing to say. */
  readonly cell: (result: BenchResult) => string;
}

const COLUMNS: readonly Column[] = [
  {
    title: 'median',
    cell: ({ median, unit }) => `${figure(median)} <span class="unit">${asMarkup(unit)}</span>`,
  },
  { title: 'spread', cell: ({ spread: [low, high] }) => `${figure(low)} .. ${figure(high)}` },
  { title: 'against', isText: true, cell: ({ baseline }) => asMarkup(baseline ?? '') },
  { title: 'ratio', cell: ratioOf },
  { title: 'asked', cell: asked },
  { title: 'lost, twice, disorder', cell: faults },
];

function row(result: BenchResult): string {
  const cells = COLUMNS.map(({ title, isText, cell }) => {
    const content = cell(result);
    // One child, which the narrow form puts across from the title.
    const child = content === '' ? '' : `<span>${content}</span>`;
    return `<td data-title="${title}"${isText ? ' class="text"' : ''}>${child}</td>`;
  });
  return `<tr><th scope="row">${asMarkup(result.name)}</th>${cells.join('')}</tr>`;
}

function asked(result: BenchResult): string {
  return result.target === undefined ? '' : `${asMarkup(askedOf(result))} ${verdict(result)}`;
}

/** What is not 0 stands out. */
function faults({ lost, twice, disorder }: BenchResult): string {
  if (lost === null && twice === null && disorder === null) return '';
  return [lost, twice, disorder]
    .map((count) => (count ? `<strong>${count.toLocaleString('en-US')}</strong>` : (count ?? '-')))
    .join(', ');
}
