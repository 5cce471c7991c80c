-- Keys by alias, by number, as an expression; a window made below and named.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE by_alias USING csv AS
SELECT upper(k) AS name, date_format(window.end, 'HH:mm') AS end, count(*) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 0 SECONDS
GROUP BY name, window(ts, '1 minute');
CREATE STREAMING TABLE by_number USING csv AS
SELECT n % 2 AS odd, count(*) AS rows
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 0 SECONDS
GROUP BY 1, window(ts, '1 minute');
CREATE STREAMING TABLE named_window USING csv AS
SELECT date_format(w.start, 'HH:mm') AS start, sum(n) + 1 AS more, count(*) * 10 AS tens
FROM (SELECT window(ts, '1 minute') AS w, n FROM STREAM events WATERMARK ts DELAY OF INTERVAL 0 SECONDS)
GROUP BY w
HAVING max(n) < 50;
