-- Windows of windows: what one lets go is the other's input in the same epoch.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE quarters USING csv AS
SELECT date_format(window.start, 'HH:mm') AS start, count(*) AS fives, sum(n) AS n, max(n) AS most
FROM (SELECT window_time(w) AS at, n
      FROM (SELECT window AS w, count(*) AS n
            FROM STREAM events WATERMARK ts DELAY OF INTERVAL 0 SECONDS
            GROUP BY window(ts, '5 minutes')))
GROUP BY window(at, '15 minutes');
