-- The schema of postcommit. Tables and sequences come from drizzle-kit; what it cannot say (partitions, checks,
-- functions, the trigger, first rows) is written by hand between them. Applied by `postcommit migrate`.
CREATE SCHEMA IF NOT EXISTS "postcommit";
--> statement-breakpoint
CREATE SEQUENCE "postcommit"."parked_until" INCREMENT BY 1 MINVALUE 0 MAXVALUE 9223372036854775807 START WITH 0 CACHE 1;
--> statement-breakpoint
CREATE SEQUENCE "postcommit"."segment" INCREMENT BY 1 MINVALUE 0 MAXVALUE 7 START WITH 0 CACHE 1;
--> statement-breakpoint
-- setval, not a start value: pg_sequence_last_value is null until a sequence was used.
SELECT setval('postcommit.segment', 0), setval('postcommit.parked_until', 0);
--> statement-breakpoint
-- Largest size of payload and headers together, in bytes; changed by `postcommit migrate --max-payload`.
-- Below the 1,048,576 bytes that a NATS server accepts by default, with room for the relay's own headers.
CREATE FUNCTION postcommit.max_payload() RETURNS integer
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN 1000000;
--> statement-breakpoint
-- What a CHECK calls when a value is wrong: the writer's statement fails with a sentence instead of a
-- constraint's name, and without the row's content, which the server would print. VOLATILE, so that the planner
-- never calls it in advance.
CREATE FUNCTION postcommit.refuse("constraint" text, message text, hint text) RETURNS boolean
  LANGUAGE plpgsql VOLATILE
  AS $$
BEGIN
  RAISE EXCEPTION USING
    ERRCODE = 'check_violation', MESSAGE = message, HINT = hint,
    SCHEMA = 'postcommit', TABLE = 'outbox', CONSTRAINT = "constraint";
END
$$;
--> statement-breakpoint
-- True, or an error that names the header. A user's `Nats-Rollup: all` would erase a stream, and CR LF would
-- forge further headers; blanks around a value do not survive NATS clients.
CREATE FUNCTION postcommit.headers_acceptable(headers jsonb) RETURNS boolean
  LANGUAGE plpgsql VOLATILE
  AS $$
DECLARE
  name text;
  value jsonb;
BEGIN
  IF pg_catalog.jsonb_typeof(headers) <> 'object' THEN
    RETURN postcommit.refuse('outbox_headers', 'postcommit: headers must be a JSON object, not ' || pg_catalog.jsonb_typeof(headers),
      'Write {"name": "value"}.');
  END IF;
  FOR name, value IN SELECT * FROM pg_catalog.jsonb_each(headers) LOOP
    IF name !~ '^[!-9;-~]+$' THEN
      RETURN postcommit.refuse('outbox_headers', pg_catalog.format('postcommit: header name %L is not allowed', name),
        'Use printable ASCII without blanks and colons.');
    END IF;
    IF name ~* '^(nats|postcommit)-' THEN
      RETURN postcommit.refuse('outbox_headers', pg_catalog.format('postcommit: header %L is reserved', name),
        'Nats-* headers steer the server (Nats-Rollup erases a stream) and Postcommit-* headers are the relay''s own. Choose another name.');
    END IF;
    IF pg_catalog.jsonb_typeof(value) <> 'string' THEN
      RETURN postcommit.refuse('outbox_headers', pg_catalog.format('postcommit: the value of header %L is not a string', name),
        'NATS headers are text: write numbers and booleans as strings.');
    END IF;
    IF value #>> '{}' ~ '[\r\n]|^[\s\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]|[\s\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]$' THEN
      RETURN postcommit.refuse('outbox_headers', pg_catalog.format('postcommit: the value of header %L has a line break or blanks around it', name),
        'NATS cannot carry them: remove them, or encode the value (for instance as base64).');
    END IF;
  END LOOP;
  RETURN true;
END
$$;
--> statement-breakpoint
-- A ring of leaves instead of partitions made and dropped: DDL beside writers makes them wait or fail.
CREATE TABLE "postcommit"."outbox" (
	"position" bigint GENERATED ALWAYS AS IDENTITY (sequence name "postcommit"."outbox_position_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"segment" smallint DEFAULT pg_sequence_last_value('postcommit.segment'::regclass) NOT NULL,
	"event_id" uuid DEFAULT gen_random_uuid() NOT NULL,
	"subject" text NOT NULL,
	"key" text,
	"type" text,
	"headers" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"payload" "bytea" NOT NULL,
	"created_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "outbox_position_segment_pk" PRIMARY KEY("position","segment"),
	CONSTRAINT "outbox_subject" CHECK (
	  (subject ~ '^[^\u0001-\u0020\u007f.*>$][^\u0001-\u0020\u007f.*>]*(\.[^\u0001-\u0020\u007f.*>]+)*$' AND octet_length(subject) <= 255)
	  OR postcommit.refuse('outbox_subject', format('postcommit: subject %L cannot be published to', left(subject, 300)),
	    'A subject is dot-separated tokens, none empty, without wildcards (* >), blanks or control characters, not starting with $, at most 255 bytes.')),
	CONSTRAINT "outbox_key" CHECK (
	  key IS NULL
	  OR (octet_length(key) BETWEEN 1 AND 512 AND key !~ '[\r\n]|^[\s\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]|[\s\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]$')
	  OR postcommit.refuse('outbox_key', 'postcommit: key is empty, longer than 512 bytes, or has a line break or blanks around it',
	    'The key becomes a header. Use the aggregate''s id, or NULL for none.')),
	CONSTRAINT "outbox_type" CHECK (
	  type IS NULL
	  OR (octet_length(type) BETWEEN 1 AND 512 AND type !~ '[\r\n]|^[\s\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]|[\s\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]$')
	  OR postcommit.refuse('outbox_type', 'postcommit: type is empty, longer than 512 bytes, or has a line break or blanks around it',
	    'The type becomes a header. Use a name like patient.registered, or NULL for none.')),
	CONSTRAINT "outbox_headers" CHECK (headers = '{}'::jsonb OR postcommit.headers_acceptable(headers)),
	CONSTRAINT "outbox_size" CHECK (
	  octet_length(payload) + CASE WHEN headers = '{}'::jsonb THEN 0 ELSE octet_length(headers::text) END <= postcommit.max_payload()
	  OR postcommit.refuse('outbox_size', format('postcommit: payload (%s bytes) and headers (%s bytes) are larger than the limit of %s bytes',
	      octet_length(payload), octet_length(headers::text), postcommit.max_payload()),
	    'Store the content elsewhere and send its address, or raise the limit with `postcommit migrate --max-payload` (and max_payload of the NATS server).'))
) PARTITION BY LIST ("segment");
--> statement-breakpoint
-- Leaves are only inserted into and truncated as a whole: vacuuming them would be work without gain.
CREATE TABLE postcommit.outbox_0 PARTITION OF postcommit.outbox FOR VALUES IN (0)
  WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
--> statement-breakpoint
CREATE TABLE postcommit.outbox_1 PARTITION OF postcommit.outbox FOR VALUES IN (1)
  WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
--> statement-breakpoint
CREATE TABLE postcommit.outbox_2 PARTITION OF postcommit.outbox FOR VALUES IN (2)
  WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
--> statement-breakpoint
CREATE TABLE postcommit.outbox_3 PARTITION OF postcommit.outbox FOR VALUES IN (3)
  WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
--> statement-breakpoint
CREATE TABLE postcommit.outbox_4 PARTITION OF postcommit.outbox FOR VALUES IN (4)
  WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
--> statement-breakpoint
CREATE TABLE postcommit.outbox_5 PARTITION OF postcommit.outbox FOR VALUES IN (5)
  WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
--> statement-breakpoint
CREATE TABLE postcommit.outbox_6 PARTITION OF postcommit.outbox FOR VALUES IN (6)
  WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
--> statement-breakpoint
CREATE TABLE postcommit.outbox_7 PARTITION OF postcommit.outbox FOR VALUES IN (7)
  WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
--> statement-breakpoint
-- The parking gate: a writer notifies only while the relay sleeps, because NOTIFY takes a database-wide lock at
-- commit. It stays silent when the queue is filling up (a full one would fail the commit; the relay's sweep finds
-- these events) and when the session says `SET LOCAL postcommit.notify = off` (for PREPARE TRANSACTION).
CREATE FUNCTION postcommit.wake_relay() RETURNS trigger
  LANGUAGE plpgsql
  AS $$
BEGIN
  IF to_timestamp(pg_sequence_last_value('postcommit.parked_until'::regclass)) > clock_timestamp()
     AND coalesce(current_setting('postcommit.notify', true), '') <> 'off'
     AND pg_notification_queue_usage() <= 0.5 THEN
    PERFORM pg_notify('postcommit', '');
  END IF;
  RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE TRIGGER wake_relay AFTER INSERT ON postcommit.outbox
  FOR EACH STATEMENT EXECUTE FUNCTION postcommit.wake_relay();
--> statement-breakpoint
-- ALWAYS: also for sessions with session_replication_role = replica.
ALTER TABLE postcommit.outbox ENABLE ALWAYS TRIGGER wake_relay;
--> statement-breakpoint
CREATE TABLE "postcommit"."batches" (
	"stream" text NOT NULL,
	"incarnation" text NOT NULL,
	"batch" bigint NOT NULL,
	"epoch" bigint NOT NULL,
	"ordering" text NOT NULL,
	"kind" text NOT NULL,
	"first_sequence" bigint NOT NULL,
	"last_sequence" bigint NOT NULL,
	"settled_to" bigint,
	"positions" "int8multirange" NOT NULL,
	"parked" "int8multirange" DEFAULT '{}'::int8multirange NOT NULL,
	"read_to" bigint NOT NULL,
	"open_from" bigint NOT NULL,
	"planned_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "batches_stream_batch_pk" PRIMARY KEY("stream","batch"),
	CONSTRAINT "batches_ordering" CHECK (ordering IN ('stream', 'key', 'none')),
	CONSTRAINT "batches_kind" CHECK (kind IN ('new', 'retry', 'again', 'marker', 'found', 'replay'))
);
--> statement-breakpoint
CREATE TABLE "postcommit"."requests" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "postcommit"."requests_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"kind" text NOT NULL,
	"detail" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"requested_by" text DEFAULT session_user NOT NULL,
	"requested_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"finished_at" timestamp with time zone,
	"result" jsonb,
	CONSTRAINT "requests_kind" CHECK (kind IN ('retry', 'discard', 'replay', 'adopt'))
);
--> statement-breakpoint
CREATE TABLE "postcommit"."lease" (
	"id" smallint PRIMARY KEY DEFAULT 1 NOT NULL,
	"epoch" bigint DEFAULT 0 NOT NULL,
	"holder" text,
	"expires_at" timestamp with time zone,
	CONSTRAINT "lease_one_row" CHECK (id = 1)
) WITH (fillfactor = 10);
--> statement-breakpoint
INSERT INTO postcommit.lease DEFAULT VALUES;
--> statement-breakpoint
CREATE TABLE "postcommit"."inbox" (
	"consumer" text NOT NULL,
	"event_id" text NOT NULL,
	"stream" text,
	"sequence" bigint,
	"recorded_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "inbox_consumer_event_id_pk" PRIMARY KEY("consumer","event_id")
);
--> statement-breakpoint
CREATE TABLE "postcommit"."dead_letters" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "postcommit"."dead_letters_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"consumer" text,
	"stream" text NOT NULL,
	"position" bigint,
	"sequence" bigint,
	"event_id" text NOT NULL,
	"subject" text NOT NULL,
	"key" text,
	"type" text,
	"headers" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"payload" "bytea",
	"state" text DEFAULT 'parked' NOT NULL,
	"reason" text NOT NULL,
	"attempts" integer DEFAULT 1 NOT NULL,
	"first_failed_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"last_failed_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "dead_letters_state" CHECK (state IN ('parked', 'held', 'retrying', 'resolved', 'discarded'))
);
--> statement-breakpoint
CREATE INDEX "dead_letters_state" ON "postcommit"."dead_letters" USING btree ("state","id");
--> statement-breakpoint
-- For every language: writes one event in the caller's transaction and returns its id.
CREATE FUNCTION postcommit.enqueue_bytes(
  subject text, payload bytea, key text DEFAULT NULL, headers jsonb DEFAULT '{}',
  event_id uuid DEFAULT gen_random_uuid(), type text DEFAULT NULL
) RETURNS uuid
  LANGUAGE plpgsql VOLATILE
  AS $$
#variable_conflict use_variable
DECLARE
  id uuid := coalesce(event_id, gen_random_uuid());
BEGIN
  INSERT INTO postcommit.outbox (event_id, subject, key, type, headers, payload)
  VALUES (id, subject, key, type, coalesce(headers, '{}'), payload);
  RETURN id;
END
$$;
--> statement-breakpoint
CREATE FUNCTION postcommit.enqueue(
  subject text, payload jsonb, key text DEFAULT NULL, headers jsonb DEFAULT '{}',
  event_id uuid DEFAULT gen_random_uuid(), type text DEFAULT NULL
) RETURNS uuid
  LANGUAGE sql VOLATILE
  RETURN postcommit.enqueue_bytes(subject, convert_to(payload::text, 'UTF8'), key, headers, event_id, type);
--> statement-breakpoint
-- True the first time a consumer records an event. Called in the transaction of the effect, it makes a redelivery
-- wait for the first delivery's outcome and then return false.
CREATE FUNCTION postcommit.inbox_record(
  consumer text, event_id text, stream text DEFAULT NULL, sequence bigint DEFAULT NULL
) RETURNS boolean
  LANGUAGE plpgsql VOLATILE
  AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO postcommit.inbox (consumer, event_id, stream, sequence)
  VALUES ($1, $2, $3, $4)
  ON CONFLICT DO NOTHING;
  RETURN FOUND;
END
$$;
