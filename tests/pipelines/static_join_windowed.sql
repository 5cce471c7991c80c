-- Rows are enriched from a table and then summed by window.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE sums USING csv AS
SELECT date_format(window.start, 'HH:mm') AS start, s.name, sum(e.n) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 0 SECONDS AS e JOIN stations AS s ON e.k = s.code
GROUP BY window(e.ts, '5 minutes'), s.name;
-- file: sources.sql
CREATE TABLE stations (code STRING, name STRING) USING csv OPTIONS (sep ';') LOCATION 'stations';
-- file: stations/1.csv
a;Astor, Pl
b;Bowery
