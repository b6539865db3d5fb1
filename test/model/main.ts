import { parseArgs } from 'node:util';
import { check, type Report } from './checker.ts';
import { STUDIES } from './studies.ts';
import type { Mutant, Run, Study } from './study.ts';

const USAGE = `npm run model [-- --only NAME] [--mutants] [--json]

Explores bounded state spaces of the relay's protocols, over its own decision functions where they are pure.
  --only NAME   ${STUDIES.map(({ name }) => name).join(', ')} (repeatable; default: all)
  --mutants     also takes each guard away and looks for the counterexample, which is printed
  --json        results as JSON on stdout
Exit code 1 if something that must hold does not, or a mutant that must fail does not.`;

interface Line {
  readonly study: string;
  readonly kind: 'run' | 'mutant' | 'limit';
  readonly name: string;
  readonly where?: string;
  readonly ok: boolean;
  readonly outcome: string;
  readonly traceLength: number | undefined;
  readonly trace: readonly string[] | undefined;
  readonly complete: boolean;
  readonly states: number;
  readonly steps: number;
  readonly depth: number;
  readonly ms: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      mutants: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return void process.stdout.write(`${USAGE}\n`);
  const unknown = (values.only ?? []).filter((name) => STUDIES.every((study) => study.name !== name));
  if (unknown.length > 0) throw new Error(`no model is called ${unknown.join(', ')}\n\n${USAGE}`);
  const studies = STUDIES.filter(({ name }) => values.only?.includes(name) ?? true);
  const lines: Line[] = [];
  const add = (line: Line) => {
    lines.push(line);
    if (!values.json) process.stdout.write(print(line));
  };
  for (const study of studies) {
    if (!values.json) process.stdout.write(`\n${study.name}: ${study.about}\n`);
    for await (const line of linesOf(study, values.mutants)) add(line);
  }
  if (values.json) process.stdout.write(`${JSON.stringify(lines, null, 2)}\n`);
  if (lines.some(({ ok }) => !ok)) process.exitCode = 1;
}

async function* linesOf(study: Study, mutants: boolean): AsyncGenerator<Line> {
  for (const run of study.runs) yield lineOfRun(study, run, await check(await run.model(), run));
  if (!mutants) return;
  for (const mutant of study.mutants)
    yield lineOfMutant(study, mutant, {
      intact: await check(await mutant.intact(), mutant),
      report: await check(await mutant.model(), mutant),
    });
  for (const limit of study.limits ?? [])
    yield lineOfLimit(study, limit, await check(await limit.model(), limit));
}

function lineOfRun(study: Study, { name }: Run, report: Report): Line {
  const ok = report.answer.kind === 'holds';
  return { study: study.name, kind: 'run', name, ok, outcome: ok ? 'holds' : 'VIOLATED', ...factsOf(report) };
}

function lineOfMutant(
  study: Study,
  { name, where, expect }: Mutant,
  { intact, report }: { intact: Report; report: Report },
): Line {
  const sound = intact.answer.kind === 'holds' && intact.complete;
  const refuted = report.answer.kind === 'violated';
  const ok = sound && (expect === 'refuted' ? refuted : !refuted && report.complete);
  const outcome = !sound ? 'no proof' : refuted ? 'refuted' : report.complete ? 'redundant' : 'not refuted';
  return { study: study.name, kind: 'mutant', name, where, ok, outcome, ...factsOf(report) };
}

/** One that holds by now is no limit any more. */
function lineOfLimit(study: Study, { name }: Run, report: Report): Line {
  const ok = report.answer.kind === 'violated';
  return { study: study.name, kind: 'limit', name, ok, outcome: ok ? 'known' : 'holds', ...factsOf(report) };
}

function factsOf({ answer, complete, states, steps, depth, ms }: Report) {
  const violated = answer.kind === 'violated' ? answer : undefined;
  const trace = violated && [...violated.trace, violated.what];
  return { traceLength: violated?.trace.length, trace, complete, states, steps, depth, ms };
}

function print({ kind, name, ok, outcome, trace, traceLength, complete, states, depth, ms }: Line): string {
  const extent = trace !== undefined ? `${traceLength} steps` : complete ? 'COMPLETE' : 'TRUNCATED';
  const mark = ok ? 'ok  ' : 'FAIL';
  const title = { run: name, mutant: `without: ${name}`, limit: `limit: ${name}` }[kind];
  const head = `${mark} ${outcome.padEnd(11)} ${extent.padEnd(9)} ${String(states).padStart(8)} states, depth ${String(depth).padStart(2)}, ${(ms / 1000).toFixed(1)} s  ${title}\n`;
  return head + (trace ?? []).map((step, i) => `       ${String(i + 1).padStart(2)}  ${step}\n`).join('');
}

await main();
