CREATE STREAMING TABLE t USING csv AS
SELECT date, time, desc, end, start, timestamp, value, key, window, first, year, interval
FROM (SELECT r.* FROM (SELECT from_csv(CAST(value AS STRING), 'date STRING, time STRING, desc STRING, end STRING, start STRING, timestamp STRING, value STRING, key STRING, window STRING, first STRING, year INT, interval INT',
  map('sep', ';', 'mode', 'PERMISSIVE')) AS r FROM STREAM kafka WITH (subscribe = 'x')));
