-- One active instance of a consumer that keeps an order, attempts of handlers that failed, and an inbox that can be pruned.
-- The index on the inbox is built under a lock that keeps its consumers waiting.
CREATE TABLE "postcommit"."consumer_leases" (
	"consumer" text PRIMARY KEY NOT NULL,
	"epoch" bigint DEFAULT 0 NOT NULL,
	"holder" text,
	"expires_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "postcommit"."consumer_failures" (
	"consumer" text NOT NULL,
	"event_id" text NOT NULL,
	"stream" text NOT NULL,
	"sequence" bigint NOT NULL,
	"attempts" integer NOT NULL,
	"history" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"first_failed_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"last_failed_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "consumer_failures_consumer_event_id_pk" PRIMARY KEY("consumer","event_id")
);
--> statement-breakpoint
ALTER TABLE "postcommit"."dead_letters" ADD COLUMN "history" jsonb DEFAULT '[]'::jsonb NOT NULL;--> statement-breakpoint
CREATE INDEX "inbox_sequence" ON "postcommit"."inbox" USING btree ("consumer","stream","sequence");--> statement-breakpoint
CREATE INDEX "dead_letters_consumer" ON "postcommit"."dead_letters" USING btree ("consumer","state") WHERE consumer is not null;--> statement-breakpoint
-- For every language: forgets events that a stream can no longer deliver, a portion at a time, and returns how many.
-- `before_sequence` is the stream's first sequence: what lies below it is gone. A replay of an event comes with a new
-- sequence and finds nothing here once its row is forgotten: `older_than` is for how long that must not happen. Rows that
-- were recorded without a sequence go by their age alone.
CREATE FUNCTION postcommit.inbox_prune(
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
  DELETE FROM postcommit.inbox WHERE ctid = ANY (ARRAY(
    SELECT i.ctid FROM postcommit.inbox i
     WHERE i.consumer = $1 AND i.recorded_at < clock_timestamp() - $4
       AND (i.stream = $2 AND i.sequence < $3 OR i.sequence IS NULL AND (i.stream IS NULL OR i.stream = $2))
     ORDER BY i.sequence LIMIT $5));
  GET DIAGNOSTICS at_most = ROW_COUNT;
  RETURN at_most;
END
$$;
