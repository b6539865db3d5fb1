import { customType } from 'drizzle-orm/pg-core';

export const bytea = customType<{ data: Uint8Array; driverData: Buffer }>({ dataType: () => 'bytea' });

/** A set of positions, in PostgreSQL's text form, for instance `{[1,5),[7,8)}`. */
export const int8multirange = customType<{ data: string }>({ dataType: () => 'int8multirange' });
