/** A guard taken out of the product, to see that the chaos suite notices. */
export interface PlantedBug {
  readonly name: string;
  /** What no longer holds. */
  readonly guarantee: string;
  /** How the violation begins that has to be seen: another one would be chance, or a slow machine. */
  readonly noticedBy: string;
  /** What is taken away, in words; guards that cover for each other go together. */
  readonly removes: string;
  readonly edits: readonly Edit[];
  /** Scenes of the chaos suite that have to notice, the likeliest first. */
  readonly scenes: readonly string[];
}

/** Applies exactly once, or the catalogue is out of date. */
export interface Edit {
  readonly file: string;
  readonly search: string;
  readonly replace: string;
}
