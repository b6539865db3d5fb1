import pg from 'pg';
import type { Columns, OnRow } from './columns.ts';
import type { Statement } from './session.ts';

/**
 * Rows come as `COPY ... TO STDOUT (FORMAT binary)` sends them: the cheapest way to many of them, for the server (it makes
 * no text of them) and for us (no string, and no object for a column). 1,000 events of 256 B cost PostgreSQL half and us a
 * third of what a prepared SELECT in text costs; for a few, planning the statement anew costs more than that saves.
 *
 * COPY takes no parameters. They travel as settings of the transaction, so that the text of the statement is always the
 * same: with the values in it `pg_stat_statements` would keep an entry for every call (before PostgreSQL 16).
 */
export function copyText({ name, text, values = [] }: Statement): string {
  const settings = values.map(
    (value, i) => `pg_catalog.set_config('${SETTING}${i + 1}', ${literalOf(value)}, true)`,
  );
  const query = text.replace(/\$(\d+)/g, `pg_catalog.current_setting('${SETTING}$1')`);
  return `${settings.length === 0 ? '' : `select ${settings.join(', ')}; `}copy /* ${name ?? 'postcommit'} */ (${query}) to stdout (format binary)`;
}

const SETTING = 'postcommit.value_';

function literalOf(value: unknown): string {
  return pg.escapeLiteral(Array.isArray(value) ? `{${value.join(',')}}` : String(value));
}

/** Runs a text that `copyText()` made, alone or within others. */
export function copyOut(
  client: pg.Client,
  { textOf, onRow }: { readonly textOf: () => string; readonly onRow: OnRow },
): Promise<void> {
  const parse = createRowParser(onRow);
  let fault: unknown;
  return new Promise((resolve, reject) => {
    const query = Object.assign(new pg.Query(''), {
      submit(connection: pg.Connection) {
        connection.query(textOf());
        return null;
      },
      handleCopyData({ chunk }: { chunk: Buffer }) {
        try {
          if (fault === undefined) parse(chunk);
        } catch (thrown) {
          fault = thrown; // From here it would end pg's reader.
        }
      },
      callback(error: Error | null) {
        if (error !== null) reject(error);
        else if (fault !== undefined) reject(fault);
        else resolve();
      },
    });
    client.query(query);
  });
}

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
const FLAGS_BYTES = 4;
const END = -1;

/** PostgreSQL sends whole rows: one in a message, the first behind the header. */
function createRowParser(onRow: OnRow): (chunk: Buffer) => void {
  const row = new ChunkRow();
  let begun = false;
  return (chunk) => {
    let offset = 0;
    if (!begun) {
      if (!chunk.subarray(0, SIGNATURE.length).equals(SIGNATURE))
        throw new Error('the database sent no binary COPY');
      offset = SIGNATURE.length + FLAGS_BYTES;
      offset += 4 + chunk.readInt32BE(offset);
      begun = true;
    }
    while (offset < chunk.length) {
      if (chunk.readInt16BE(offset) === END) return;
      offset = row.read(chunk, offset + 2, onRow);
    }
  };
}

/** One object for all rows of a statement. */
class ChunkRow implements Columns {
  #chunk: Buffer = Buffer.alloc(0);
  #offset = 0;

  /** Returns where the next row begins, if all columns were read. */
  read(chunk: Buffer, offset: number, onRow: OnRow): number {
    this.#chunk = chunk;
    this.#offset = offset;
    onRow(this);
    return this.#offset;
  }

  integer(): number | null {
    const at = this.#next(8);
    if (at < 0) return null;
    return this.#chunk.readInt32BE(at) * 2 ** 32 + this.#chunk.readUInt32BE(at + 4);
  }

  float(): number | null {
    const at = this.#next(8);
    return at < 0 ? null : this.#chunk.readDoubleBE(at);
  }

  text(): string | null {
    const at = this.#next();
    return at < 0 ? null : this.#chunk.toString('utf8', at, this.#offset);
  }

  /** pg's parser writes over its buffer. */
  bytes(): Uint8Array | null {
    const at = this.#next();
    if (at < 0) return null;
    const copy = Buffer.allocUnsafe(this.#offset - at);
    this.#chunk.copy(copy, 0, at, this.#offset);
    return copy;
  }

  /** Where the column's value begins, -1 for null; what follows it is next. */
  #next(size?: number): number {
    const length = this.#chunk.readInt32BE(this.#offset);
    const at = this.#offset + 4;
    if (length < 0) {
      this.#offset = at;
      return -1;
    }
    if (size !== undefined && length !== size)
      throw new Error(`a column of ${length} bytes came instead of one of ${size}`);
    this.#offset = at + length;
    return at;
  }
}
