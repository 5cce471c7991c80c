-- A stream is enriched from files.
CREATE TEMPORARY VIEW readings AS
SELECT split(CAST(value AS STRING), ',') AS f FROM STREAM kafka WITH (subscribe = 'weather', includeHeaders = 'true');

CREATE STREAMING TABLE hot USING json AS
SELECT s.*, r.f[0] AS station, get(r.f, 3) AS element, try_cast(get(r.f, 3) AS DOUBLE) / 10 AS value
FROM STREAM readings AS r JOIN stations s ON s.id = get(r.f, 0)
WHERE s.state IN ('AZ', 'NY') AND get(r.f, 2) IN (SELECT element FROM elements);

CREATE STREAMING TABLE kept AS
SELECT id, name FROM (SELECT get(f, 0) AS id FROM STREAM readings) LEFT JOIN stations USING (id);
-- file: sources.sql
CREATE TABLE stations (id STRING, lat DOUBLE, lon DOUBLE, state STRING, name STRING) USING csv OPTIONS (header "true", sep ';') LOCATION 'stations';
CREATE TABLE IF NOT EXISTS elements (element STRING) USING text LOCATION 'elements.txt';
