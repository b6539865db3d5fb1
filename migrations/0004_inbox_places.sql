-- A copy of an event that lies behind the one that was recorded (a replay, a repeat past the duplicate window, a stream that
-- was healed) lifts its inbox row: the row is not pruned before the stream has let go of the last copy.
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
  IF has_column_privilege('postcommit.inbox', 'sequence', 'UPDATE') THEN
    UPDATE postcommit.inbox AS i SET sequence = $4
     WHERE i.consumer = $1 AND i.event_id = $2 AND i.stream = $3 AND i.sequence < $4;
  END IF;
  RETURN false;
END
$$;
--> statement-breakpoint
-- What was chosen may have been lifted by the time it is deleted: it is asked again.
CREATE OR REPLACE FUNCTION postcommit.inbox_prune(
  consumer text, stream text, before_sequence bigint, older_than interval DEFAULT '7 days', at_most integer DEFAULT 1000
) RETURNS integer
  LANGUAGE plpgsql VOLATILE
  AS $$
#variable_conflict use_column
BEGIN
  IF $1 IS NULL OR $2 IS NULL OR $3 IS NULL OR $4 IS NULL OR $4 < interval '0' THEN
    RAISE EXCEPTION 'inbox_prune needs a consumer, a stream, its first sequence and an age'
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'What a stream can still deliver must not be forgotten: ask the stream for its first sequence.';
  END IF;
  DELETE FROM postcommit.inbox d
   WHERE d.ctid = ANY (ARRAY(
           SELECT i.ctid FROM postcommit.inbox i
            WHERE i.consumer = $1 AND i.recorded_at < clock_timestamp() - $4
              AND (i.stream = $2 AND i.sequence < $3 OR i.sequence IS NULL AND (i.stream IS NULL OR i.stream = $2))
            ORDER BY i.sequence LIMIT $5))
     AND d.consumer = $1 AND (d.sequence < $3 OR d.sequence IS NULL);
  GET DIAGNOSTICS at_most = ROW_COUNT;
  RETURN at_most;
END
$$;
