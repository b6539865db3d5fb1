/** The business side: who asks "what was committed?" asks this, never the outbox. */
export const SCHEMA = `
  create schema chaos;
  create table chaos.patient (key text primary key, version int not null default 0);
  create table chaos.ledger (
    event_id uuid primary key, key text not null, version int not null, subject text not null, digest text not null,
    committed_in xid8 not null default pg_current_xact_id(),
    -- Transactions below this one were over when the statement began, and with them their inserts.
    begun_after xid8 not null default pg_snapshot_xmin(pg_current_snapshot()));
  create table chaos.effect (
    place bigint generated always as identity, event_id text not null, consumer text not null, key text, version int);
  create index on chaos.effect (event_id)`;

/**
 * Which events had to leave their place: planned once more, found elsewhere, or dead for a while. The relay prunes what
 * says so, and the checker asks at the end.
 */
export const DISPLACEMENTS = `
  create table chaos.displaced (position bigint not null);
  create function chaos.note_plan() returns trigger language plpgsql as $$
  begin
    insert into chaos.displaced select generate_series(lower(r), upper(r) - 1) from unnest(new.positions) r;
    return null;
  end $$;
  create function chaos.note_letter() returns trigger language plpgsql as $$
  begin
    insert into chaos.displaced values (new.position);
    return null;
  end $$;
  create trigger note_plan after insert on postcommit.batches for each row
    when (new.kind in ('again', 'found', 'retry')) execute function chaos.note_plan();
  create trigger note_letter after insert on postcommit.dead_letters for each row
    when (new.consumer is null) execute function chaos.note_letter()`;

/**
 * Changes one patient `$2` times and records each change twice, in the ledger and in the outbox, in one statement. The
 * row's lock comes before the positions are drawn, so that versions of a patient are in the order of positions.
 */
export const CHANGE = `
  with changed as (
    insert into chaos.patient as p (key, version) values ($1, $2)
    on conflict (key) do update set version = p.version + $2
    returning version),
  event as materialized (
    select gen_random_uuid() as id, version - $2::int + i as version, $3 as subject,
           convert_to($1 || ' version ' || (version - $2::int + i) || ' ' || repeat('x', $4::int), 'UTF8') as payload
      from changed, generate_series(1, $2::int) i),
  kept as (
    insert into chaos.ledger (event_id, key, version, subject, digest)
    select id, $1, version, subject, md5(payload) from event)
  insert into postcommit.outbox (event_id, subject, key, type, headers, payload)
  select id, subject, $1, 'patient.changed', jsonb_build_object('Patient-Version', version::text), payload
    from event order by version`;
