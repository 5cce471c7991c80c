-- Each row counts in every window that holds it: an hour every half an hour is two.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE slides USING csv AS
SELECT date_format(window.start, 'HH:mm') AS start, date_format(window.end, 'HH:mm') AS end, k, sum(n) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 5 MINUTES
GROUP BY window(ts, '1 hour', '30 minutes'), k;
