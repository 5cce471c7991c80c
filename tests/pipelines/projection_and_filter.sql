-- Without state an epoch's rows come out with it; CASE, LIKE, IN, arithmetic and nulls as Spark has them.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE picked USING csv AS
SELECT k, n, n * 2 AS twice, n / 4 AS quarter, n % 3 AS rest,
       CASE WHEN n > 10 THEN 'many' WHEN n > 1 THEN 'some' ELSE 'few' END AS size, upper(k) || '-' || n AS label
FROM STREAM events
WHERE k LIKE 'a%' OR k IN ('b', 'c') OR n IS NULL;
