/**
 * What the script adds to its scratch database, so that it sees what a client does there: which transaction wrote what, how
 * it was committed, and a gate that holds a COMMIT back until the script lets it through.
 */
export const INSTRUMENTS = `
CREATE SCHEMA conformance;
-- Written by {"do": "change"}.
CREATE TABLE conformance.aggregates (id text PRIMARY KEY, value text NOT NULL);
-- Written by consumers.
CREATE TABLE conformance.effects (
  n bigint GENERATED ALWAYS AS IDENTITY,
  consumer text NOT NULL, event_id text NOT NULL, subject text NOT NULL,
  key text, type text, headers jsonb NOT NULL, payload bytea NOT NULL,
  tx xid8 NOT NULL DEFAULT pg_current_xact_id());
CREATE TABLE conformance.commits (subject text NOT NULL, synchronous_commit text NOT NULL);
CREATE TABLE conformance.recorded (consumer text, event_id text, stream text, sequence bigint, tx xid8);
-- Effects of these subjects fail.
CREATE TABLE conformance.failing (subject text PRIMARY KEY);
-- Counts failures: a sequence is not rolled back.
CREATE SEQUENCE conformance.failures;

CREATE FUNCTION conformance.before_effect() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM conformance.failing f WHERE f.subject = NEW.subject) THEN
    PERFORM nextval('conformance.failures');
    RAISE EXCEPTION 'conformance: this effect is made to fail';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER before_effect BEFORE INSERT ON conformance.effects
  FOR EACH ROW EXECUTE FUNCTION conformance.before_effect();

-- Deferred: it runs within COMMIT, sees the settings that count there, and waits there while the gate is shut.
CREATE FUNCTION conformance.at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO conformance.commits VALUES (NEW.subject, current_setting('synchronous_commit'));
  PERFORM pg_advisory_xact_lock_shared(hashtext(NEW.subject), 0);
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON conformance.effects
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION conformance.at_commit();

CREATE FUNCTION conformance.on_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO conformance.recorded VALUES (NEW.consumer, NEW.event_id, NEW.stream, NEW.sequence, pg_current_xact_id());
  RETURN NULL;
END $$;
CREATE TRIGGER on_record AFTER INSERT ON postcommit.inbox FOR EACH ROW EXECUTE FUNCTION conformance.on_record();
`;
