-- A condition on other columns is asked before the watermark is moved, wherever it stands; one on the time itself behind it.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE by_key USING csv AS
SELECT date_format(window.start, 'HH:mm') AS start, count(*) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 0 SECONDS
WHERE k = 'a'
GROUP BY window(ts, '1 minute');
CREATE STREAMING TABLE by_time USING csv AS
SELECT date_format(window.start, 'HH:mm') AS start, count(*) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 0 SECONDS
WHERE ts < TIMESTAMP '2024-01-01 13:00:00'
GROUP BY window(ts, '1 minute');
