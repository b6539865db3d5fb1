-- Dead letters with markers, `key` and `none` ordering, and the audit as a request.
ALTER TABLE "postcommit"."batches" ADD COLUMN "settled_batch" bigint;
--> statement-breakpoint
ALTER TABLE "postcommit"."dead_letters" ADD COLUMN "outcome" text DEFAULT 'refused' NOT NULL;
--> statement-breakpoint
ALTER TABLE "postcommit"."dead_letters"
  DROP CONSTRAINT "dead_letters_state",
  ADD CONSTRAINT "dead_letters_state" CHECK (state IN ('marking', 'parked', 'held', 'retrying', 'resolved', 'discarded')),
  ADD CONSTRAINT "dead_letters_outcome" CHECK (outcome IN ('refused', 'misrouted', 'held', 'failed'));
--> statement-breakpoint
-- One row an event of the relay's: a second refusal counts up its attempts.
CREATE UNIQUE INDEX "dead_letters_position" ON "postcommit"."dead_letters" USING btree ("position") WHERE consumer is null;
--> statement-breakpoint
ALTER TABLE "postcommit"."requests"
  DROP CONSTRAINT "requests_kind",
  ADD CONSTRAINT "requests_kind" CHECK (kind IN ('retry', 'discard', 'replay', 'adopt', 'audit'));
--> statement-breakpoint
CREATE INDEX "requests_open" ON "postcommit"."requests" USING btree ("id") WHERE finished_at is null;
--> statement-breakpoint
-- Empty where every lane is in `stream` ordering: says at once that nothing was ever planned in another.
CREATE INDEX "batches_unordered" ON "postcommit"."batches" USING btree ("stream","batch") WHERE ordering <> 'stream';
