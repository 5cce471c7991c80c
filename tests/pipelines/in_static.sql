-- Rows of a stream that a table has, and that it has not; a null in the list makes NOT IN unknown.
CREATE TEMPORARY VIEW events AS
SELECT e.* FROM (SELECT from_csv(CAST(value AS STRING), 'id STRING, n INT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE among USING csv AS SELECT id, n FROM STREAM events WHERE id IN (SELECT id FROM known) AND n > 0;
CREATE STREAMING TABLE others USING csv AS
SELECT id, n FROM STREAM events WHERE id NOT IN (SELECT id FROM known WHERE id IS NOT NULL);
CREATE STREAMING TABLE unknown USING csv AS SELECT id, n FROM STREAM events WHERE id NOT IN (SELECT id FROM known);
CREATE STREAMING TABLE larger USING csv AS SELECT id, n FROM STREAM events WHERE n IN (SELECT n + 1 FROM known);
-- file: known/1.csv
a,1
b,2
,3
-- file: sources.sql
CREATE TABLE known (id STRING, n INT) USING csv LOCATION 'known';
