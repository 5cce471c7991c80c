-- The try_ functions give null where the plain ones would stop.
CREATE TEMPORARY VIEW pairs AS
SELECT e.* FROM (SELECT from_csv(CAST(value AS STRING), 'a BIGINT, b BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE results USING csv AS
SELECT a, b, try_add(a, b) AS plus, try_subtract(a, b) AS minus, try_multiply(a, b) AS times, try_divide(a, b) AS over
FROM STREAM pairs;
