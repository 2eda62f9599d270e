-- Puts a database under a test's clock: see agentdb.testing.clock.

CREATE SCHEMA agentdb_clock;
CREATE TABLE agentdb_clock.moment (at timestamptz NOT NULL);
INSERT INTO agentdb_clock.moment VALUES (clock_timestamp());

CREATE FUNCTION agentdb_clock.now() RETURNS timestamptz STABLE PARALLEL SAFE LANGUAGE sql
    AS 'SELECT at FROM agentdb_clock.moment';
CREATE FUNCTION agentdb_clock.transaction_timestamp() RETURNS timestamptz STABLE PARALLEL SAFE LANGUAGE sql
    AS 'SELECT at FROM agentdb_clock.moment';
CREATE FUNCTION agentdb_clock.statement_timestamp() RETURNS timestamptz STABLE PARALLEL SAFE LANGUAGE sql
    AS 'SELECT at FROM agentdb_clock.moment';
CREATE FUNCTION agentdb_clock.clock_timestamp() RETURNS timestamptz STABLE PARALLEL SAFE LANGUAGE sql
    AS 'SELECT at FROM agentdb_clock.moment';

GRANT USAGE ON SCHEMA agentdb_clock TO PUBLIC;
GRANT SELECT ON agentdb_clock.moment TO PUBLIC;

-- What is parsed when it runs finds these functions before PostgreSQL's own.
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = agentdb_clock, "$user", public, pg_catalog', current_database());
END $$;

-- What was parsed when it was made is made again with them: defaults of columns, conditions of triggers, and functions,
-- whose search path is their own.
DO $$
DECLARE
    reads_time CONSTANT text := '(pg_catalog\.)?\m(now|transaction_timestamp|statement_timestamp|clock_timestamp)\(\)|\mCURRENT_TIMESTAMP\M';
    made record;
BEGIN
    FOR made IN
        SELECT format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT ', d.adrelid::regclass, a.attname) AS change,
            pg_get_expr(d.adbin, d.adrelid) AS source
        FROM pg_attrdef AS d JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        WHERE a.attgenerated = '' AND d.adrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    UNION ALL
        SELECT format('DROP TRIGGER %I ON %s; ', tgname, tgrelid::regclass), pg_get_triggerdef(oid)
        FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
        SELECT '', pg_get_functiondef(p.oid)
        FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname IN ('sql', 'plpgsql')
        WHERE p.pronamespace = 'public'::regnamespace AND p.prokind IN ('f', 'p')
    LOOP
        IF made.source ~* reads_time THEN
            EXECUTE made.change || regexp_replace(made.source, reads_time, 'agentdb_clock.now()', 'gi');
        END IF;
    END LOOP;
END $$;
