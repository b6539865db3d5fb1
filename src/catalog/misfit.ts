/** Why a reader refuses some of what a writer writes. */
export type MisfitKind =
  /** The reader needs a property that the writer does not know. */
  | 'property-missing'
  /** … or does not always write. */
  | 'property-optional'
  /** The reader takes no other properties than it knows. */
  | 'property-unknown'
  | 'type'
  | 'value'
  | 'limit'
  | 'format'
  /** The comparison does not understand it, and it is not the same. */
  | 'unclear';

export interface Misfit {
  /** `address.lines[]`; empty for the payload as a whole. */
  readonly path: string;
  readonly kind: MisfitKind;
  /** What is the matter, in words that follow a name: `is not written`. */
  readonly detail: string;
}

export function misfit({ path }: Pick<Misfit, 'path'>, kind: MisfitKind, detail: string): Misfit {
  return { path, kind, detail };
}
