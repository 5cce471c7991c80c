-- Windows may begin off the hour; before 1970 they lie as after it.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE shifted USING csv AS
SELECT date_format(window.start, 'yyyy-MM-dd HH:mm') AS start, date_format(window.end, 'HH:mm') AS end, count(*) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 0 SECONDS
GROUP BY window(ts, '1 hour', '1 hour', '15 minutes');
CREATE STREAMING TABLE sliding USING csv AS
SELECT date_format(window.start, 'yyyy-MM-dd HH:mm') AS start, count(*) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 0 SECONDS
GROUP BY window(ts, '20 minutes', '15 minutes');
