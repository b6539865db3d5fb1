-- Functions that mean the same whatever the caller's search_path: none runs with rights that are not its caller's, but a
-- schema in front of pg_catalog could have changed what a writer's own call does. Each name and operator says its schema,
-- at no cost; `SET search_path` would cost a microsecond a call. And rows that lack a value are refused without being shown.
CREATE OR REPLACE FUNCTION postcommit.headers_acceptable(headers jsonb) RETURNS boolean
  LANGUAGE plpgsql VOLATILE
  AS $$
DECLARE
  name pg_catalog.text;
  value pg_catalog.jsonb;
BEGIN
  IF pg_catalog.jsonb_typeof(headers) OPERATOR(pg_catalog.<>) 'object' THEN
    RETURN postcommit.refuse('outbox_headers', pg_catalog.concat('postcommit: headers must be a JSON object, not ', pg_catalog.jsonb_typeof(headers)),
      'Write {"name": "value"}.');
  END IF;
  IF pg_catalog.octet_length(headers::pg_catalog.text) OPERATOR(pg_catalog.>) 60000 THEN
    RETURN postcommit.refuse('outbox_headers', pg_catalog.format('postcommit: headers of %s bytes are larger than the limit of 60000 bytes', pg_catalog.octet_length(headers::pg_catalog.text)),
      'JetStream takes 65535 bytes of headers with a message, the relay''s own among them. Put large values into the payload.');
  END IF;
  FOR name, value IN SELECT * FROM pg_catalog.jsonb_each(headers) LOOP
    IF name OPERATOR(pg_catalog.!~) '^[!-9;-~]+$' THEN
      RETURN postcommit.refuse('outbox_headers', pg_catalog.format('postcommit: header name %L is not allowed', name),
        'Use printable ASCII without blanks and colons.');
    END IF;
    IF name OPERATOR(pg_catalog.~*) '^(nats|postcommit)-' THEN
      RETURN postcommit.refuse('outbox_headers', pg_catalog.format('postcommit: header %L is reserved', name),
        'Nats-* headers steer the server (Nats-Rollup erases a stream) and Postcommit-* headers are the relay''s own. Choose another name.');
    END IF;
    IF pg_catalog.jsonb_typeof(value) OPERATOR(pg_catalog.<>) 'string' THEN
      RETURN postcommit.refuse('outbox_headers', pg_catalog.format('postcommit: the value of header %L is not a string', name),
        'NATS headers are text: write numbers and booleans as strings.');
    END IF;
    IF (value OPERATOR(pg_catalog.#>>) '{}') OPERATOR(pg_catalog.~) '[\r\n]|^[\s\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]|[\s\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]$' THEN
      RETURN postcommit.refuse('outbox_headers', pg_catalog.format('postcommit: the value of header %L has a line break or blanks around it', name),
        'NATS cannot carry them: remove them, or encode the value (for instance as base64).');
    END IF;
  END LOOP;
  RETURN true;
END
$$;
--> statement-breakpoint
CREATE OR REPLACE FUNCTION postcommit.wake_relay() RETURNS trigger
  LANGUAGE plpgsql
  AS $$
BEGIN
  IF pg_catalog.to_timestamp(pg_catalog.pg_sequence_last_value('postcommit.parked_until'::pg_catalog.regclass)) OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()
     AND coalesce(pg_catalog.current_setting('postcommit.notify', true), '') OPERATOR(pg_catalog.<>) 'off'
     AND pg_catalog.pg_notification_queue_usage() OPERATOR(pg_catalog.<=) 0.5 THEN
    PERFORM pg_catalog.pg_notify('postcommit', '');
  END IF;
  RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE OR REPLACE FUNCTION postcommit.enqueue_bytes(
  subject text, payload bytea, key text DEFAULT NULL, headers jsonb DEFAULT '{}',
  event_id uuid DEFAULT gen_random_uuid(), type text DEFAULT NULL
) RETURNS uuid
  LANGUAGE plpgsql VOLATILE
  AS $$
#variable_conflict use_variable
DECLARE
  id pg_catalog.uuid := coalesce(event_id, pg_catalog.gen_random_uuid());
BEGIN
  INSERT INTO postcommit.outbox (event_id, subject, key, type, headers, payload)
  VALUES (id, subject, key, type, coalesce(headers, '{}'), payload);
  RETURN id;
END
$$;
--> statement-breakpoint
CREATE OR REPLACE FUNCTION postcommit.inbox_record(
  consumer text, event_id text, stream text DEFAULT NULL, sequence bigint DEFAULT NULL
) RETURNS boolean
  LANGUAGE plpgsql VOLATILE
  AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO postcommit.inbox (consumer, event_id, stream, sequence)
  VALUES ($1, $2, $3, $4)
  ON CONFLICT DO NOTHING;
  IF FOUND THEN
    RETURN true;
  END IF;
  -- A role that was granted nothing new goes on as before; its rows may be pruned early.
  IF pg_catalog.has_column_privilege('postcommit.inbox', 'sequence', 'UPDATE') THEN
    UPDATE postcommit.inbox AS i SET sequence = $4
     WHERE i.consumer OPERATOR(pg_catalog.=) $1 AND i.event_id OPERATOR(pg_catalog.=) $2
       AND i.stream OPERATOR(pg_catalog.=) $3 AND i.sequence OPERATOR(pg_catalog.<) $4;
  END IF;
  RETURN false;
END
$$;
--> statement-breakpoint
CREATE OR REPLACE FUNCTION postcommit.inbox_prune(
  consumer text, stream text, before_sequence bigint, older_than interval DEFAULT '7 days', at_most integer DEFAULT 1000
) RETURNS integer
  LANGUAGE plpgsql VOLATILE
  AS $$
#variable_conflict use_column
BEGIN
  IF $1 IS NULL OR $2 IS NULL OR $3 IS NULL OR $4 IS NULL OR $4 OPERATOR(pg_catalog.<) interval '0' THEN
    RAISE EXCEPTION 'inbox_prune needs a consumer, a stream, its first sequence and an age'
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'What a stream can still deliver must not be forgotten: ask the stream for its first sequence.';
  END IF;
  -- What was chosen may have been lifted by the time it is deleted: it is asked again.
  DELETE FROM postcommit.inbox d
   WHERE d.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(
           SELECT i.ctid FROM postcommit.inbox i
            WHERE i.consumer OPERATOR(pg_catalog.=) $1
              AND i.recorded_at OPERATOR(pg_catalog.<) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) $4)
              AND (i.stream OPERATOR(pg_catalog.=) $2 AND i.sequence OPERATOR(pg_catalog.<) $3
                   OR i.sequence IS NULL AND (i.stream IS NULL OR i.stream OPERATOR(pg_catalog.=) $2))
            ORDER BY i.sequence LIMIT $5))
     AND d.consumer OPERATOR(pg_catalog.=) $1
     AND (d.sequence OPERATOR(pg_catalog.<) $3 OR d.sequence IS NULL);
  GET DIAGNOSTICS at_most = ROW_COUNT;
  RETURN at_most;
END
$$;
--> statement-breakpoint
-- Writers queue behind whoever waits for this lock: for half a second at most. Then nothing was changed, and it is run again.
SET LOCAL lock_timeout = '500ms';
--> statement-breakpoint
-- A NOT NULL that is violated prints the row, payload included, for the client and into the server's log. A CHECK of ours
-- says what is missing and no more. NOT VALID: the rows that are there have been kept not null until now, and to read them
-- all again would keep writers waiting, as the lock does for a moment.
ALTER TABLE postcommit.outbox
  ADD CONSTRAINT outbox_not_null CHECK (
    subject IS NOT NULL AND payload IS NOT NULL AND headers IS NOT NULL AND event_id IS NOT NULL AND created_at IS NOT NULL
    OR postcommit.refuse('outbox_not_null',
      concat('postcommit: ', CASE WHEN subject IS NULL THEN 'subject' WHEN payload IS NULL THEN 'payload' WHEN headers IS NULL THEN 'headers'
        WHEN event_id IS NULL THEN 'event_id' ELSE 'created_at' END, ' is NULL'),
      'Give subject and payload; what else is not to be given is left out, or DEFAULT.')) NOT VALID,
  ALTER COLUMN subject DROP NOT NULL,
  ALTER COLUMN payload DROP NOT NULL,
  ALTER COLUMN headers DROP NOT NULL,
  ALTER COLUMN event_id DROP NOT NULL,
  ALTER COLUMN created_at DROP NOT NULL;
