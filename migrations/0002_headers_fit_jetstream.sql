-- A limit of the headers' own, whatever the maximum of payload and headers together: JetStream refuses a message whose
-- headers are larger than 64 KiB, and such an event was accepted here and became a dead letter.
-- CREATE OR REPLACE keeps the CHECK that calls it, and takes no lock on the outbox.
CREATE OR REPLACE FUNCTION postcommit.headers_acceptable(headers jsonb) RETURNS boolean
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
  IF pg_catalog.octet_length(headers::text) > 60000 THEN
    RETURN postcommit.refuse('outbox_headers', pg_catalog.format('postcommit: headers of %s bytes are larger than the limit of 60000 bytes', pg_catalog.octet_length(headers::text)),
      'JetStream takes 65535 bytes of headers with a message, the relay''s own among them. Put large values into the payload.');
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
