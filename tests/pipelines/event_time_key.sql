-- Groups by the event time itself, without a window, are final when it is passed.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE moments USING csv AS
SELECT ts, count(*) AS n, max(k) AS last
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 1 MINUTE
GROUP BY ts;
