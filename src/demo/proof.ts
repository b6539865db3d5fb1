/** What was counted, each by itself: nothing here was derived from anything else here. */
export interface Facts {
  /** The clinics' ledger: one entry for each event whose transaction committed. */
  readonly committed: readonly { readonly id: string; readonly patient: string; readonly version: number }[];
  /** Ids that were written and taken back, as the clinics remember them. */
  readonly rolledBack: readonly string[];
  /** The ids of all messages of the stream, in its order. */
  readonly stream: readonly string[];
  /** The ids of all effects on the read model, in the order they happened. */
  readonly effects: readonly string[];
  /** Patients that the read model holds otherwise than the registry. */
  readonly differences: number;
  /** How often the whole stream's messages were delivered once more, and how often the inbox refused one. */
  readonly redelivered: number;
  readonly refused: number;
}

/** How a list of ids compares with the ledger. */
export interface Comparison {
  readonly count: number;
  /** Committed, but not there. */
  readonly lost: number;
  /** There, but never committed. */
  readonly phantom: number;
  /** Of the phantoms, those that a rollback had taken back. */
  readonly rolledBack: number;
  /** There more than once: each occurrence after the first. */
  readonly twice: number;
  /** Behind a later version of the same patient. */
  readonly disordered: number;
}

export interface Proof {
  readonly ok: boolean;
  readonly committed: number;
  readonly rolledBack: number;
  readonly stream: Comparison;
  readonly effects: Comparison;
  readonly differences: number;
  readonly redelivered: number;
  readonly refused: number;
}

/** Compares the stream and the read model with what was committed. Nothing committed proves nothing. */
export function prove(facts: Facts): Proof {
  const { committed, rolledBack, differences, redelivered, refused } = facts;
  const ledger = new Map(committed.map(({ id, patient, version }) => [id, { patient, version }]));
  const takenBack = new Set(rolledBack);
  const stream = compare(ledger, takenBack, facts.stream);
  const effects = compare(ledger, takenBack, facts.effects);
  const ok =
    committed.length > 0 &&
    ledger.size === committed.length &&
    !rolledBack.some((id) => ledger.has(id)) &&
    isFlawless(stream) &&
    isFlawless(effects) &&
    differences === 0 &&
    refused === redelivered;
  return {
    ok,
    committed: committed.length,
    rolledBack: rolledBack.length,
    stream,
    effects,
    differences,
    redelivered,
    refused,
  };
}

type Ledger = ReadonlyMap<string, { readonly patient: string; readonly version: number }>;

function compare(ledger: Ledger, takenBack: ReadonlySet<string>, ids: readonly string[]): Comparison {
  const seen = new Set<string>();
  const latest = new Map<string, number>();
  const phantoms = new Set<string>();
  let disordered = 0;
  for (const id of ids) {
    const change = ledger.get(id);
    if (change === undefined) phantoms.add(id);
    else if (!seen.has(id)) {
      const before = latest.get(change.patient) ?? 0;
      if (change.version < before) disordered++;
      latest.set(change.patient, Math.max(before, change.version));
    }
    seen.add(id);
  }
  return {
    count: ids.length,
    lost: [...ledger.keys()].filter((id) => !seen.has(id)).length,
    phantom: phantoms.size,
    rolledBack: [...phantoms].filter((id) => takenBack.has(id)).length,
    twice: ids.length - seen.size,
    disordered,
  };
}

function isFlawless({ lost, phantom, twice, disordered }: Comparison): boolean {
  return lost === 0 && phantom === 0 && twice === 0 && disordered === 0;
}
