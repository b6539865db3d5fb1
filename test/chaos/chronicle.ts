import { appendFileSync, writeFileSync } from 'node:fs';

/** Something that happened at one moment. */
export interface Moment {
  /** Milliseconds of the Unix epoch: the histories of several processes share this machine's clock. */
  readonly atMs: number;
  /** Who it happened to: `relay 1`, `postgres`, `writers`. */
  readonly who: string;
  readonly what: string;
  readonly [detail: string]: unknown;
}

/** Something that lasted. */
export interface Span extends Moment {
  readonly untilMs: number;
}

type Detail = Readonly<Record<string, unknown>>;

/** The append-only history of a run: kept in memory for the report, and on disk as it happens. */
export interface Chronicle {
  note(who: string, what: string, detail?: Detail): void;
  /** Begins something that lasts; call the result when it is over, with what is known of it then. */
  begin(who: string, what: string, detail?: Detail): (more?: Detail) => void;
  readonly moments: readonly (Moment | Span)[];
}

/** With a path each moment is appended to that file, which begins anew, as a line of JSON. */
export function createChronicle(path?: string): Chronicle {
  const moments: (Moment | Span)[] = [];
  if (path !== undefined) writeFileSync(path, '');
  const add = (moment: Moment | Span) => {
    moments.push(moment);
    if (path !== undefined) appendFileSync(path, `${JSON.stringify(moment)}\n`);
  };
  return {
    note: (who, what, detail = {}) => add({ ...detail, atMs: Date.now(), who, what }),
    begin(who, what, detail = {}) {
      const atMs = Date.now();
      let over = false;
      return (more = {}) => {
        if (!over) add({ ...detail, ...more, atMs, untilMs: Date.now(), who, what });
        over = true;
      };
    },
    moments,
  };
}
