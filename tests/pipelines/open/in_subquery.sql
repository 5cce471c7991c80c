-- A stream is picked by a table: a row comes once however often its key stands there.
CREATE TEMPORARY VIEW readings AS
SELECT e.* FROM (SELECT from_csv(CAST(value AS STRING), 'id INT, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE known USING csv AS
SELECT n FROM STREAM readings WHERE id IN (SELECT id FROM stations);
-- file: sources.sql
CREATE TABLE stations (id INT, name STRING) USING csv OPTIONS (header "true") LOCATION 'stations';
-- file: stations/1.csv
id,name
1,Astor Pl
2,Bowery
2,Broadway
,Nowhere
