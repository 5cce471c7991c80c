-- Views over views, CTEs that use each other, names in any case, a subquery with an alias.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE TEMPORARY VIEW busy AS SELECT K AS key, n, `ts` FROM STREAM events WHERE N > 1;
CREATE TEMPORARY VIEW doubled AS SELECT key, n * 2 AS n, ts FROM STREAM busy;
CREATE STREAMING TABLE stateless USING csv AS
WITH odd AS (SELECT * FROM STREAM doubled WHERE (n / 2) % 2 = 1),
     named AS (SELECT upper(key) AS Name, n AS Twice FROM odd)
SELECT name || '!' AS name, TWICE AS twice FROM named AS x WHERE x.twice < 100;
CREATE STREAMING TABLE counted USING csv AS
WITH timed AS (SELECT * FROM STREAM doubled WATERMARK ts DELAY OF INTERVAL 0 SECONDS)
SELECT key, total FROM (SELECT key, window, sum(n) AS total FROM timed GROUP BY window(ts, '1 minute'), key) AS t WHERE t.total > 6;
