CREATE STREAMING TABLE a AS SELECT * FROM STREAM csv.`/data/readings`;
CREATE STREAMING TABLE b AS SELECT value FROM STREAM(text.`/data/lines`);
CREATE STREAMING TABLE c AS SELECT value FROM text.`/data/lines`;
CREATE MATERIALIZED VIEW d AS SELECT * FROM json.`/data/readings`;
CREATE STREAMING TABLE e AS SELECT * FROM STREAM(readings);
-- file: sources.sql
CREATE TABLE readings USING csv OPTIONS (header 'true') LOCATION '/data/readings';
