import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '..', '..');

/** The pages a reader sees, by their path in the repository. */
export const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'SECURITY.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** A fenced block. Words behind its language say what a test does with it: `run`, `refused`, `outbox="a,b"`. */
export interface Sample {
  readonly page: string;
  readonly line: number;
  readonly language: string;
  readonly marks: ReadonlyMap<string, string>;
  readonly text: string;
}

export function readPage(page: string): string {
  return readFileSync(join(ROOT, page), 'utf8');
}

export function samplesOf(page: string): Sample[] {
  const samples: Sample[] = [];
  const lines = readPage(page).split('\n');
  for (let i = 0; i < lines.length; i++) {
    const opening = /^```(\w+) ?(.*)$/.exec(lines[i] ?? '');
    if (opening === null) continue;
    const end = lines.indexOf('```', i);
    const [, language = '', info = ''] = opening;
    samples.push({
      page,
      line: i + 1,
      language,
      marks: marksOf(info),
      text: `${lines.slice(i + 1, end).join('\n')}\n`,
    });
    i = end;
  }
  return samples;
}

/** The one sample of a page with this language and mark. */
export function sampleMarked(page: string, language: string, mark: string): Sample {
  const found = samplesOf(page).filter((sample) => sample.language === language && sample.marks.has(mark));
  const [sample] = found;
  if (sample === undefined || found.length > 1)
    throw new Error(`${page} has ${found.length} samples \`${language} ${mark}\`, not one`);
  return sample;
}

function marksOf(info: string): Map<string, string> {
  const marks = new Map<string, string>();
  for (const [, name = '', quoted, plain] of info.matchAll(/([\w-]+)(?:=(?:"([^"]*)"|(\S+)))?/g))
    marks.set(name, quoted ?? plain ?? '');
  return marks;
}

/** The text of a page without its fenced blocks. */
export function proseOf(page: string): string {
  return readPage(page).replace(/^```[\s\S]*?^```$/gm, '');
}

/** The rows of the first table below a heading, each as its cells. */
export function tableBelow(page: string, heading: string): string[][] {
  const text = readPage(page);
  const start = text.search(new RegExp(`^#+ ${heading}$`, 'm'));
  if (start < 0) throw new Error(`${page} has no heading "${heading}"`);
  const rows: string[][] = [];
  for (const line of text.slice(start).split('\n')) {
    if (line.startsWith('|'))
      rows.push(
        line
          .slice(1, -1)
          .split('|')
          .map((cell) => cell.trim()),
      );
    else if (rows.length > 0) break;
  }
  return rows.slice(2);
}

/** What is set in code type in a cell, in order. */
export function codeIn(cell = ''): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);
}
