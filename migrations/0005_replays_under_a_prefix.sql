-- A replay may publish under subjects of its own: what a row plans says so, that whoever sends it again sends the same.
-- Rows from before have no prefix: NOT VALID spares the look at each of them.
ALTER TABLE "postcommit"."batches" ADD COLUMN "subject_prefix" text,
  ADD CONSTRAINT "batches_subject_prefix" CHECK (subject_prefix IS NULL OR kind = 'replay') NOT VALID;
--> statement-breakpoint
ALTER TABLE "postcommit"."requests"
  DROP CONSTRAINT "requests_kind",
  ADD CONSTRAINT "requests_kind" CHECK (kind IN ('retry', 'discard', 'replay', 'adopt', 'audit', 'cancel'));
