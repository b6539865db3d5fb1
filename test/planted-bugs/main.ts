import { Command, InvalidArgumentError } from 'commander';
import { messageOf } from '../../src/errors.ts';
import type { PlantedBug } from './bug.ts';
import { CATALOGUE } from './catalogue.ts';
import { playOnce, type Verdict } from './hunt.ts';
import { plantTree } from './tree.ts';

const program = new Command('planted-bugs')
  .description('Takes guards out of the product one after the other: the chaos suite has to notice each.')
  .option('--only <names>', 'bugs, by commas', parseBugs, CATALOGUE)
  .option('--seeds <n>', 'how many seeds a bug has at most', parseCount, 5)
  .option('--no-control', 'does not play the same scenes on the unmodified tree')
  .option('--json', 'prints the table as JSON on standard output');

interface Options {
  readonly only: readonly PlantedBug[];
  readonly seeds: number;
  readonly control: boolean;
  readonly json?: true;
}

interface Row {
  readonly bug: string;
  readonly guarantee: string;
  readonly seed: number | null;
  readonly scene: string;
  /** What the suite said, or why it said nothing that counts. */
  readonly said: string;
  readonly seconds: number;
}

const options = program.parse().opts<Options>();
const rows: Row[] = [];
for (const bug of options.only) {
  const row = await hunt(bug, options.seeds);
  rows.push(row);
  const found = row.seed === null ? 'NOT CAUGHT' : `seed ${row.seed}`;
  process.stderr.write(
    `${bug.name} | ${bug.guarantee} | ${found} | ${row.scene}: ${row.said} | ${row.seconds} s\n`,
  );
}
const control = options.control ? await playControl(options) : [];
for (const text of control) process.stderr.write(`THE UNMODIFIED TREE: ${text}\n`);
if (options.json) process.stdout.write(`${JSON.stringify({ rows, control }, undefined, 2)}\n`);
const missed = rows.filter(({ seed }) => seed === null);
process.stderr.write(`${rows.length - missed.length} of ${rows.length} caught.\n`);
process.exit(missed.length + control.length === 0 ? 0 : 1);

async function hunt(bug: PlantedBug, seeds: number): Promise<Row> {
  const startedAtMs = performance.now();
  const done = (seed: number | null, scene: string, said: string): Row => {
    const seconds = Math.round((performance.now() - startedAtMs) / 1_000);
    return { bug: bug.name, guarantee: bug.guarantee, seed, scene, said: said.slice(0, 160), seconds };
  };
  let trouble = 'every guarantee held';
  try {
    await using tree = await plantTree(bug.name, bug);
    for (let seed = 1; seed <= seeds; seed++) {
      for (const scene of bug.scenes) {
        const verdict = await playOnce({ folder: tree.folder, scene, seed });
        const { noticed, otherwise } = readVerdict(verdict, bug);
        if (noticed !== undefined) return done(seed, scene, noticed);
        trouble = otherwise ?? trouble;
      }
    }
  } catch (error) {
    trouble = messageOf(error);
  }
  return done(null, bug.scenes.join(','), trouble);
}

function readVerdict(verdict: Verdict, { noticedBy }: PlantedBug): { noticed?: string; otherwise?: string } {
  if (verdict.kind === 'held') return {};
  if (verdict.kind === 'broken') return { otherwise: verdict.reason };
  const noticed = verdict.violations.find((text) => text.startsWith(noticedBy));
  return noticed === undefined ? { otherwise: `something else: ${verdict.violations[0]}` } : { noticed };
}

/** Without this, `caught` would mean nothing. */
async function playControl({ only, seeds }: Options): Promise<string[]> {
  await using tree = await plantTree('control');
  const scenes = new Set(only.flatMap((bug) => bug.scenes));
  const failures: string[] = [];
  for (const scene of scenes) {
    for (let seed = 1; seed <= seeds; seed++) {
      const verdict = await playOnce({ folder: tree.folder, scene, seed });
      if (verdict.kind === 'held') continue;
      const said = verdict.kind === 'violated' ? verdict.violations[0] : verdict.reason;
      failures.push(`${scene}, seed ${seed}: ${said}`);
    }
  }
  return failures;
}

function parseCount(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It is a whole number from 1 on.');
}

function parseBugs(text: string): PlantedBug[] {
  return text.split(',').map((name) => {
    const bug = CATALOGUE.find((one) => one.name === name);
    if (bug === undefined)
      throw new InvalidArgumentError(
        `There is no bug '${name}': ${CATALOGUE.map((one) => one.name).join(', ')}.`,
      );
    return bug;
  });
}
