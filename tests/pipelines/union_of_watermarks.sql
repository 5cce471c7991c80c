-- Two branches, each with a watermark of its own: the flow's is the lower one.
CREATE TEMPORARY VIEW events AS
SELECT e.k, e.n, to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE sums USING csv AS
SELECT window.start AS start, k, sum(n) AS n
FROM (SELECT ts, k, n FROM STREAM events WATERMARK ts DELAY OF INTERVAL 2 MINUTES WHERE k = 'a'
      UNION ALL
      SELECT ts, k, n * 10 AS n FROM STREAM events WATERMARK ts DELAY OF INTERVAL 5 MINUTES WHERE k <> 'a')
GROUP BY window(ts, '1 minute'), k;
