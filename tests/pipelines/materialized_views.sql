-- Views are the current answer over whole tables: sorted, distinct, ranked, joined, over other views.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE visits USING csv AS SELECT k, n FROM STREAM events WHERE k IS NOT NULL;
CREATE MATERIALIZED VIEW by_key USING csv AS
SELECT k, count(DISTINCT n) AS kinds, count(*) AS visits, sum(n) AS total, avg(n) AS mean FROM visits GROUP BY k ORDER BY visits DESC, k;
CREATE MATERIALIZED VIEW top USING csv AS
SELECT b.k, b.total, v.n FROM by_key AS b JOIN visits AS v ON v.k = b.k WHERE b.total < 10 ORDER BY b.total DESC, v.n DESC LIMIT 3;
CREATE MATERIALIZED VIEW ranked USING csv AS
SELECT k, n, row_number() OVER (PARTITION BY k ORDER BY n DESC) AS place, sum(n) OVER (PARTITION BY k) AS total
FROM visits ORDER BY k, place;
CREATE MATERIALIZED VIEW whole USING csv AS SELECT count(*) AS rows, count(DISTINCT k) AS keys, min(k) AS first, max(n) AS most FROM visits;
