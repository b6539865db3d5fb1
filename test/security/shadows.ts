/**
 * A schema `shadow` that has a namesake for every function, operator and type of PostgreSQL's, and for every table and function of
 * postcommit's, each of which fails when it is used. What stands in front of a search_path takes the place of whatever a
 * statement names without a schema; functions with "any" among their arguments are shadowed for the types that matter, which
 * works even behind pg_catalog. Everybody may use it.
 */
export const SHADOWS = `
SET search_path = pg_catalog;
CREATE SCHEMA shadow;
GRANT USAGE ON SCHEMA shadow TO PUBLIC;

DO $do$
DECLARE
  one record;
  body constant text := 'LANGUAGE plpgsql AS $f$BEGIN RAISE EXCEPTION ''the shadow of %% was called'', %L; END$f$';
BEGIN
  FOR one IN
    SELECT proname AS name, oidvectortypes(proargtypes) AS arguments, format_type(prorettype, NULL) AS result, proretset
      FROM pg_proc
     WHERE pronamespace IN ('pg_catalog'::regnamespace, 'postcommit'::regnamespace) AND prokind = 'f'
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION shadow.%I(%s) RETURNS %s%s ', one.name, one.arguments,
                     CASE WHEN one.proretset THEN 'SETOF ' ELSE '' END, one.result) || format(body, one.name);
    EXCEPTION WHEN OTHERS THEN NULL; -- Types that only C knows, such as internal.
    END;
  END LOOP;
  FOR one IN
    SELECT * FROM (VALUES ('format', 'text, text'), ('format', 'text, integer'),
                          ('format', 'text, integer, integer, integer'), ('concat', 'text, text'), ('concat', 'text, text, text'))
      AS of_any (name, arguments)
  LOOP
    EXECUTE format('CREATE FUNCTION shadow.%I(%s) RETURNS text ', one.name, one.arguments) || format(body, one.name);
  END LOOP;
  FOR one IN
    SELECT oid, oprname AS name, format_type(oprleft, NULL) AS left_type, format_type(oprright, NULL) AS right_type,
           format_type(oprresult, NULL) AS result, oprleft <> 0 AS is_binary
      FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION shadow.operator_%s(%s%s) RETURNS %s ', one.oid,
                     CASE WHEN one.is_binary THEN one.left_type || ', ' ELSE '' END, one.right_type, one.result)
              || format(body, one.name);
      EXECUTE format('CREATE OPERATOR shadow.%s (FUNCTION = shadow.operator_%s, %s RIGHTARG = %s)', one.name, one.oid,
                     CASE WHEN one.is_binary THEN 'LEFTARG = ' || one.left_type || ',' ELSE '' END, one.right_type);
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
  FOR one IN
    SELECT typname AS name FROM pg_type
     WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A'
  LOOP
    EXECUTE format('CREATE DOMAIN shadow.%I AS pg_catalog.%I CONSTRAINT shadow CHECK (false)', one.name, one.name);
  END LOOP;
  FOR one IN
    SELECT relname AS name FROM pg_class WHERE relnamespace = 'postcommit'::regnamespace AND relkind IN ('r', 'p')
  LOOP
    EXECUTE format('CREATE TABLE shadow.%I (no_column_of_ours int)', one.name);
  END LOOP;
END $do$;
`;
