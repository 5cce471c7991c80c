-- A sum that BIGINT or DECIMAL(38) does not hold stops Spark; here the one group is a dead letter, and the others come out.
CREATE TEMPORARY VIEW numbers AS
SELECT e.k, e.n, CAST(e.d AS DECIMAL(38, 0)) AS d, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT, d STRING') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE sums USING csv AS
SELECT window.start AS start, k, sum(n) AS n, sum(d) AS d, count(*) AS c
FROM STREAM numbers WATERMARK ts DELAY OF INTERVAL 0 SECONDS
GROUP BY window(ts, '1 minute'), k;
