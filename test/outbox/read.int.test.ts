import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { LOOK_SETTINGS, type ReadRequest, readEvents } from '../../src/outbox/read.ts';
import { includes } from '../../src/postgres/position-ranges.ts';
import { openSession, type Session } from '../../src/postgres/session.ts';
import { query } from '../support/query.ts';
import { createMigratedDatabase, type ScratchDatabase } from '../support/services.ts';

let database: ScratchDatabase;
let session: Session;
beforeAll(async () => {
  database = await createMigratedDatabase();
  session = await openSession({ url: database.url, name: 'reader', settings: LOOK_SETTINGS });
});
afterAll(async () => {
  await session?.close();
  await database?.drop();
});
beforeEach(() => query(database.url, 'truncate postcommit.outbox restart identity'));

const REQUEST: ReadRequest = {
  cursor: 0,
  gaps: [],
  gapsOnly: false,
  gate: [],
  segments: [0],
  strays: null,
  limit: 1_000,
  many: false,
  large: false,
};
const KIB = 1_024;

async function insert(...sizes: number[]): Promise<void> {
  await query(
    database.url,
    `insert into postcommit.outbox (subject, key, headers, payload)
     select 'a.' || i, nullif('k' || i, 'k2'), case i when 3 then '{"h":"ü"}'::jsonb else '{}' end,
            convert_to(repeat('x', size), 'UTF8')
       from unnest('{${sizes.join(',')}}'::int[]) with ordinality s(size, i) order by i`,
  );
}

/** How often a statement went out. */
async function reading(request: ReadRequest) {
  let reads = 0;
  const counted: Session = {
    ...session,
    read(statement, options) {
      reads++;
      return session.read(statement, options);
    },
  };
  const result = await readEvents(counted, request);
  return { ...result, reads, sizes: result.events.map(({ payload }) => payload.length) };
}

test('a read brings the same by COPY and by SELECT', async () => {
  await insert(10, 0, 300, 8 * KIB);
  const bySelect = await readEvents(session, REQUEST);
  expect(await readEvents(session, { ...REQUEST, many: true })).toEqual(bySelect);
  expect(bySelect.events.map(({ position, key, headers }) => [position, key, headers])).toEqual([
    [1, 'k1', null],
    [2, null, null],
    [3, 'k3', { h: 'ü' }],
    [4, 'k4', null],
  ]);
  expect(bySelect).toMatchObject({ cut: false, large: false, lastPosition: 4, segment: 0 });
});

test('with gaps, gates and strays too', async () => {
  await insert(1, 2, 3, 4, 5, 6);
  const inProgress = 2n ** 50n;
  const request = { ...REQUEST, cursor: 4, gaps: [2, 3], gate: [inProgress], strays: { from: 1, to: 6 } };
  const bySelect = await readEvents(session, request);
  expect(await readEvents(session, { ...request, many: true })).toEqual(bySelect);
  expect(bySelect.events.map(({ position }) => position)).toEqual([2, 3, 5, 6]);
  expect(bySelect.gateOpened).toBe(false);
});

test.each([
  { many: true, large: false },
  { many: false, large: false },
  { many: true, large: true },
  { many: false, large: true },
])('a read beside a gate that has opened says so and brings no more, %o', async (how) => {
  await insert(1, 2, 3);
  const read = await readEvents(session, {
    ...REQUEST,
    ...how,
    gaps: [1, 1],
    cursor: 1,
    gate: [2n ** 50n, 3n],
  });
  expect(read).toMatchObject({ gateOpened: true, events: [], lastPosition: 3 });
});

test.each([true, false])('of gaps close together it brings what lies in them, many: %s', async (many) => {
  await insert(...Array.from({ length: 300 }, (_, i) => i));
  await query(
    database.url,
    `update postcommit.outbox set segment = 3 where position in (9, 15, 30, 31, 222);
     delete from postcommit.outbox where position in (17, 18, 40)`,
  );
  const gaps = [
    2, 2, 4, 4, 9, 9, 15, 18, 30, 31, 40, 43, 60, 60, 90, 190, 192, 192, 194, 197, 222, 222, 299, 299,
  ];
  const wanted = (segments: readonly number[]) =>
    Array.from({ length: 300 }, (_, i) => i + 1).filter(
      (p) =>
        (includes(gaps, p) || p > 299) &&
        ![17, 18, 40].includes(p) &&
        (segments.includes(3) || ![9, 15, 30, 31, 222].includes(p)),
    );
  for (const segments of [[0], [0, 3], [0, 1, 2, 3, 4, 5, 6, 7]]) {
    const request = { ...REQUEST, gaps, cursor: 299, segments, many };
    const { events } = await readEvents(session, request);
    expect(events.map(({ position }) => position)).toEqual(wanted(segments));
    const cut = await readEvents(session, { ...request, limit: 9 });
    expect(cut.events.map(({ position }) => position)).toEqual(wanted(segments).slice(0, 9));
  }
});

test.each([true, false])(
  'a large payload costs one more read, and then none as long as there are some, many: %s',
  async (many) => {
    await insert(10, 20_000, 10);
    const met = await reading({ ...REQUEST, many });
    expect(met).toMatchObject({ reads: 2, sizes: [10, 20_000, 10], large: true, cut: false });
    expect(await reading({ ...REQUEST, many, large: true })).toMatchObject({
      reads: 1,
      sizes: met.sizes,
      large: true,
    });
    expect(await reading({ ...REQUEST, many, large: true, cursor: 2 })).toMatchObject({
      sizes: [10],
      large: false,
    });
  },
);

test.each([true, false])(
  'however large they are, a read brings about 8 MiB, and at least one, many: %s',
  async (many) => {
    await insert(...Array.from({ length: 12 }, () => 900 * KIB));
    const { sizes, cut } = await reading({ ...REQUEST, many });
    expect(cut).toBe(true);
    expect(sizes).toHaveLength(10); // The one that passes the bound is whole.
  },
);

test('the share of a payload falls with the limit', async () => {
  await insert(5 * KIB);
  expect(await reading({ ...REQUEST, limit: 1_000 })).toMatchObject({ reads: 1, large: false });
  expect(await reading({ ...REQUEST, limit: 8_000 })).toMatchObject({ reads: 2, large: true });
});
