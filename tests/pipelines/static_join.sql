-- A stream meets a table: every match is a row, a null key meets none, and what meets none can be kept or picked.
CREATE TEMPORARY VIEW readings AS
SELECT e.* FROM (SELECT from_csv(CAST(value AS STRING), 'id INT, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE named USING csv AS
SELECT s.name, r.n FROM STREAM readings AS r JOIN stations AS s ON r.id = s.id;
CREATE STREAMING TABLE kept USING csv AS
SELECT r.n, s.name FROM STREAM readings AS r LEFT JOIN stations AS s ON r.id = s.id AND s.name <> 'Bowery';
CREATE STREAMING TABLE unknown USING csv AS
SELECT r.n FROM STREAM readings AS r LEFT ANTI JOIN stations AS s ON r.id = s.id;
-- file: sources.sql
CREATE TABLE stations (id INT, name STRING) USING csv OPTIONS (header "true") LOCATION 'stations';
-- file: stations/1.csv
id,name
1,Astor Pl
2,Bowery
2,Broadway
,Nowhere
