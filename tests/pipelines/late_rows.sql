-- Late rows are counted and dropped: the window's end has been passed by the watermark of the epoch before.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE counts USING csv AS
SELECT date_format(window.start, 'HH:mm') AS start, k, count(*) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 1 MINUTE
GROUP BY window(ts, '1 minute'), k;
