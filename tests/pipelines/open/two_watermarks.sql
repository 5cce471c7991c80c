-- Several watermarks in one query: the least of them counts.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE TEMPORARY VIEW both AS
SELECT ts, 'quick' AS branch FROM (SELECT * FROM STREAM events WATERMARK ts DELAY OF INTERVAL 0 SECONDS)
UNION ALL
SELECT ts, 'slow' AS branch FROM (SELECT * FROM STREAM events WATERMARK ts DELAY OF INTERVAL 5 MINUTES);
CREATE STREAMING TABLE counts USING csv AS
SELECT date_format(window.start, 'HH:mm') AS start, branch, count(*) AS n FROM STREAM both GROUP BY window(ts, '1 minute'), branch;
