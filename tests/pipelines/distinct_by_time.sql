-- SELECT DISTINCT is an aggregate: a row comes out when its time is passed, not at first sight, and once.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE seen USING csv AS
SELECT DISTINCT k, ts FROM STREAM events WATERMARK ts DELAY OF INTERVAL 1 MINUTE;
