-- A business write and its event, in one transaction, from any client of PostgreSQL.
BEGIN;
INSERT INTO patients (id) VALUES ('psql');
SELECT postcommit.enqueue('ng.patient.' || 'psql', '{"name": "Ada"}', key => 'psql', type => 'patient.registered');
COMMIT;
