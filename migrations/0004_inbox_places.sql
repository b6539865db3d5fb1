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
  UPDATE postcommit.inbox AS i SET sequence = $4
   WHERE i.consumer = $1 AND i.event_id = $2 AND i.stream = $3 AND i.sequence < $4;
  RETURN false;
END
$$;
