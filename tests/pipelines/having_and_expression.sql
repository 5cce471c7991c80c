-- Expressions over aggregates, HAVING, and an expression as a key.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE busy USING csv AS
SELECT upper(k) AS k, sum(n) / count(*) AS mean, sum(CASE WHEN n > 2 THEN 1 ELSE 0 END) AS over
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 0 SECONDS
GROUP BY window(ts, '1 minute'), upper(k)
HAVING count(*) > 1;
