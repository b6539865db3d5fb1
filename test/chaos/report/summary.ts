import type { Play } from '../run.ts';

/** A line for each play, and below it what was counted and what did not hold. */
export function summarise(plays: readonly Play[]): string {
  const lines = plays.flatMap((play) => [headOf(play), ...factsOf(play), ...violationsOf(play)]);
  const failed = plays.filter(({ outcome }) => outcome.violations.length > 0);
  const verdict =
    failed.length === 0
      ? `${plays.length} of ${plays.length} held.`
      : `${failed.length} of ${plays.length} VIOLATED. Repeat: ${[...new Set(failed.map(repeat))].join(' ; ')}`;
  return [...lines, '', verdict].join('\n');
}

function headOf({ seed, scene, seconds, outcome }: Play): string {
  const verdict = outcome.violations.length === 0 ? 'held' : 'VIOLATED';
  return `seed ${String(seed).padEnd(7)} ${scene.padEnd(14)} ${String(seconds).padStart(4)} s  ${verdict}`;
}

function factsOf({ outcome }: Play): string[] {
  const facts = Object.entries(outcome.facts).map(([name, value]) => `${name} ${value}`);
  const lines: string[] = [];
  for (let i = 0; i < facts.length; i += 6) lines.push(`    ${facts.slice(i, i + 6).join(' · ')}`);
  return lines;
}

function violationsOf({ outcome }: Play): string[] {
  return outcome.violations.map((violation) => `    ! ${violation}`);
}

function repeat({ seed, scene }: Play): string {
  return `npm run chaos -- --seed ${seed} --scenes ${scene}`;
}
