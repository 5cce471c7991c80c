-- A table is a stream for the next one, and stands as a whole for a view.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE fives USING csv AS
SELECT window.start AS start, count(*) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 0 SECONDS
GROUP BY window(ts, '5 minutes');
CREATE STREAMING TABLE large USING csv AS SELECT date_format(start, 'HH:mm') AS start, n FROM STREAM fives WHERE n > 1;
CREATE STREAMING TABLE quarters USING csv AS
SELECT date_format(window.start, 'HH:mm') AS start, count(*) AS fives, sum(n) AS n
FROM STREAM fives WATERMARK start DELAY OF INTERVAL 0 SECONDS
GROUP BY window(start, '15 minutes');
CREATE MATERIALIZED VIEW total USING csv AS SELECT count(*) AS fives, sum(n) AS n, max(start) AS last FROM fives;
