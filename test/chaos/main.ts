import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { summarise } from './report/summary.ts';
import { renderTimeline } from './report/timeline.ts';
import { type Play, playScene } from './run.ts';
import type { Scene } from './scene.ts';
import { SCENES } from './scenes/index.ts';

const program = new Command('chaos')
  .description(
    'Runs relays, consumers and writers on servers of their own, does them harm, and checks the guarantees.',
  )
  .addOption(
    new Option('--seed <n|a..b>', 'which runs: a seed repeats the faults, not what the machine makes of them')
      .argParser(parseSeeds)
      .default([Math.floor(Math.random() * 1_000_000)], 'a random one'),
  )
  .addOption(
    new Option('--scenes <names>', `of: ${SCENES.map(({ name }) => name).join(', ')}`)
      .argParser(parseScenes)
      .default(SCENES, 'all'),
  )
  .option('--seconds <n>', 'how long to do harm in each scene', wholeNumber, 30)
  .option('--minutes <n>', 'goes on with further seeds for so long: the soak', wholeNumber)
  .option('--out <folder>', 'where histories and the report go', '.cache/chaos')
  .option('--json', 'prints what was counted as JSON on standard output')
  .option('--keep-going', 'plays the seeds that are left after a violation, too')
  .addHelpText(
    'after',
    `
Exit codes: 0 all guarantees held; 1 one did not, or could not be shown to; 2 wrong usage.

Examples:
  npm run chaos -- --seed 7
  npm run chaos -- --seed 1..20 --keep-going
  npm run chaos -- --minutes 60
  npm run chaos -- --seed 7 --scenes system --seconds 120`,
  )
  .configureOutput({ outputError: (text, write) => write(text) })
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

interface Options {
  readonly seed: readonly number[];
  readonly scenes: readonly Scene[];
  readonly seconds: number;
  readonly minutes?: number;
  readonly out: string;
  readonly json?: true;
  readonly keepGoing?: true;
}

const options = program.parse().opts<Options>();
const plays = await playAll(options);
await report(plays, options);
// A connection that a fault left half-open may live on for minutes: nothing waits for it.
process.exit(plays.every(({ outcome }) => outcome.violations.length === 0) ? 0 : 1);

async function playAll({ scenes, seconds, out, keepGoing, ...options }: Options): Promise<Play[]> {
  const folder = resolve(out);
  await mkdir(folder, { recursive: true });
  const tell = (line: string) => process.stderr.write(`${line}\n`);
  const plays: Play[] = [];
  for (const seed of seedsOf(options)) {
    for (const scene of scenes) {
      tell(`seed ${seed}, ${scene.name}: ${scene.about}`);
      const play = await playScene(scene, seed, { seconds, folder, tell });
      plays.push(play);
      for (const violation of play.outcome.violations) tell(`  VIOLATED ${violation}`);
      if (play.outcome.violations.length > 0 && !keepGoing) return plays;
    }
  }
  return plays;
}

/** With `--minutes`, further seeds until the time is over. */
function* seedsOf({ seed, minutes }: Pick<Options, 'seed' | 'minutes'>): Generator<number> {
  const until = performance.now() + (minutes ?? 0) * 60_000;
  yield* seed;
  for (let next = (seed.at(-1) ?? 0) + 1; performance.now() < until; next++) yield next;
}

async function report(plays: readonly Play[], { out, json }: Options): Promise<void> {
  const path = join(resolve(out), 'report.html');
  await writeFile(path, renderTimeline(plays));
  process.stderr.write(`\n${summarise(plays)}\n\nThe timeline: ${path}\n`);
  if (json) {
    const results = plays.map(({ seed, scene, seconds, outcome }) => ({ seed, scene, seconds, ...outcome }));
    await new Promise((resolve) =>
      process.stdout.write(`${JSON.stringify(results, undefined, 2)}\n`, resolve),
    );
  }
}

function parseSeeds(text: string): number[] {
  const [, first, last = first] = /^(\d{1,9})(?:\.\.(\d{1,9}))?$/.exec(text) ?? [];
  if (first === undefined || Number(last) < Number(first))
    throw new InvalidArgumentError('A seed is a whole number, several are 1..20.');
  return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i);
}

function parseScenes(text: string): Scene[] {
  return text.split(',').map((name) => {
    const scene = SCENES.find((one) => one.name === name);
    if (scene === undefined)
      throw new InvalidArgumentError(
        `There is no scene '${name}': ${SCENES.map((one) => one.name).join(', ')}.`,
      );
    return scene;
  });
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('A whole number of at least 1.');
  return Number(text);
}
