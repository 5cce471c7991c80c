-- Conditions and their nulls.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE results USING csv AS
SELECT coalesce(k, 'none') AS k, nullif(n, 0) AS nz, n BETWEEN 1 AND 5 AS within, if(n > 2, 'x', 'y') AS size, greatest(n, 3) AS most,
       least(n, 3) AS least, n <=> NULL AS missing, n IN (1, NULL) AS listed, nvl(n, -1) AS filled, NOT (n = 1 AND k = 'a') AS other
FROM STREAM events;
CREATE STREAMING TABLE outside USING csv AS
SELECT k, n FROM STREAM events WHERE n NOT BETWEEN 1 AND 5 AND (k IS NULL OR k NOT IN ('x', 'y'));
