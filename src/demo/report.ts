import type { Comparison, Proof } from './proof.ts';
import type { Kill } from './saboteur.ts';
import { grouped, type Style, seconds } from './style.ts';

export interface DemoResult {
  readonly seed: string;
  readonly proof: Proof;
  readonly kills: readonly Kill[];
  readonly tookMs: number;
}

/** The proof for a person. */
export function reportLines({ seed, proof, kills, tookMs }: DemoResult, style: Style): string[] {
  const { committed, stream, effects } = proof;
  const mark = (ok: boolean) => (ok ? style.good('✓') : style.bad('✗'));
  const cell = (value: number, ok: boolean) => `${grouped(value).padStart(12)} ${mark(ok)}`;
  const zeros = (label: string, field: 'lost' | 'phantom' | 'twice' | 'disordered') =>
    `  ${label.padEnd(14)}${''.padStart(12)}${cell(stream[field], stream[field] === 0)}${cell(effects[field], effects[field] === 0)}`;
  return [
    '',
    `  ${''.padEnd(14)}${style.bold(`${'committed'.padStart(12)}${'in stream'.padStart(12)}  ${'effects'.padStart(12)}`)}`,
    `  ${'events'.padEnd(14)}${grouped(committed).padStart(12)}${cell(stream.count, stream.count === committed)}${cell(effects.count, effects.count === committed)}`,
    zeros('lost', 'lost'),
    zeros('phantom', 'phantom'),
    zeros('twice', 'twice'),
    zeros('out of order', 'disordered'),
    '',
    ...sideChecks(proof).map(({ ok, text }) => `  ${mark(ok)} ${text}`),
    ...(kills.length === 0 ? [] : [`  ${mark(true)} ${killsText(kills)}`]),
    '',
    `  ${mark(proof.ok)} ${style.bold(summary(proof))}`,
    style.dim(`    in ${seconds(tookMs)}, again with --seed ${seed}`),
  ];
}

/** The whole proof in one line. */
export function summary({ committed, stream, effects }: Proof): string {
  const most = (field: keyof Comparison) => grouped(Math.max(stream[field], effects[field]));
  const disordered = Math.max(stream.disordered, effects.disordered);
  return [
    `committed ${grouped(committed)}`,
    `in stream ${grouped(stream.count)}`,
    `effects ${grouped(effects.count)}`,
    `lost ${most('lost')}`,
    `phantom ${most('phantom')}`,
    `twice ${most('twice')}`,
    disordered === 0 ? 'order kept' : `${grouped(disordered)} out of order`,
  ].join(', ');
}

function sideChecks(proof: Proof): { ok: boolean; text: string }[] {
  const { rolledBack, stream, effects, differences, redelivered, refused } = proof;
  const surfaced = Math.max(stream.rolledBack, effects.rolledBack);
  return [
    {
      ok: surfaced === 0,
      text: `rolled back on purpose: ${grouped(rolledBack)} events, seen anywhere: ${grouped(surfaced)}`,
    },
    {
      ok: differences === 0,
      text: `patients that the read model holds otherwise than the registry: ${grouped(differences)}`,
    },
    {
      ok: refused === redelivered,
      text: `the whole stream delivered again: ${grouped(redelivered)} messages, refused by the inbox: ${grouped(refused)}`,
    },
  ];
}

function killsText(kills: readonly Kill[]): string {
  const sum = (field: 'unsettled' | 'storedUnsettled') =>
    grouped(kills.reduce((total, kill) => total + kill[field], 0));
  return `kills: ${kills.length}, events in flight then: ${sum('unsettled')}, of them stored already: ${sum('storedUnsettled')}`;
}

/** The proof for a program. */
export function reportJson({ seed, proof, kills, tookMs }: DemoResult): object {
  const { ok, committed, rolledBack, stream, effects, differences, redelivered, refused } = proof;
  const most = (field: keyof Comparison) => Math.max(stream[field], effects[field]);
  return {
    event: 'proof',
    ok,
    seed,
    committed,
    inStream: stream.count,
    effects: effects.count,
    lost: most('lost'),
    phantom: most('phantom'),
    twice: most('twice'),
    orderKept: most('disordered') === 0,
    rolledBack,
    differences,
    redelivered,
    refused,
    kills: kills.map(({ atMs: _, ...kill }) => kill),
    tookMs: Math.round(tookMs),
    details: { stream, effects },
  };
}
