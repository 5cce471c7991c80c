-- The last moment of a window, in an outer query, and windows over it.
CREATE TEMPORARY VIEW fives AS
SELECT window_time(window) AS t, k, n
FROM (SELECT window, k, count(*) AS n
      FROM (SELECT e.* FROM (SELECT from_csv(CAST(value AS STRING), 'ts TIMESTAMP, k STRING') AS e
                             FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest')))
           WATERMARK ts DELAY OF INTERVAL 0 SECONDS
      GROUP BY window(ts, '5 minutes'), k);
CREATE STREAMING TABLE counts USING csv AS SELECT t, k, n FROM STREAM fives;
CREATE STREAMING TABLE hours USING csv AS SELECT window.start AS start, sum(n) AS n FROM STREAM fives GROUP BY window(t, '1 hour');
