-- Two branches of one topic are one stream; the watermark stands after the union.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE TEMPORARY VIEW both AS
SELECT ts, 'first' AS branch, n FROM STREAM events WHERE k = 'a'
UNION ALL
SELECT ts, 'second' AS branch, n * 10 AS n FROM STREAM events WHERE k = 'b';

CREATE STREAMING TABLE sums USING csv AS
SELECT branch, sum(n) AS n
FROM STREAM both WATERMARK ts DELAY OF INTERVAL 0 SECONDS
GROUP BY window(ts, '1 minute'), branch;
