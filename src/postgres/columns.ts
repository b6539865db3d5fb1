import type { TextRow } from './session.ts';

/**
 * The columns of one row, in their order. Each call goes on to the next column. To be used within its callback only, which
 * must read all of them.
 */
export interface Columns {
  /** Of an int8, exact up to 2^53. */
  integer(): number | null;
  /** Of a float8. */
  float(): number | null;
  text(): string | null;
  /** Of a bytea: a copy, valid for ever. */
  bytes(): Uint8Array | null;
}

export type OnRow = (columns: Columns) => void;

/** Of rows in PostgreSQL's text form, with `bytea_output` at `hex`. One object for all of them. */
export function readTextRows(rows: readonly TextRow[], onRow: OnRow): void {
  const columns = new TextColumns();
  for (const row of rows) columns.read(row, onRow);
}

class TextColumns implements Columns {
  #row: TextRow = [];
  #next = 0;

  read(row: TextRow, onRow: OnRow): void {
    this.#row = row;
    this.#next = 0;
    onRow(this);
  }

  text(): string | null {
    return this.#row[this.#next++] ?? null;
  }

  integer(): number | null {
    const text = this.text();
    return text === null ? null : Number(text);
  }

  float(): number | null {
    return this.integer();
  }

  bytes(): Uint8Array | null {
    const text = this.text();
    return text === null ? null : Buffer.from(text.slice(HEX_PREFIX.length), 'hex');
  }
}

const HEX_PREFIX = '\\x';
