-- The mean of DECIMAL(p,s) is DECIMAL(p+4,s+4).
CREATE TEMPORARY VIEW readings AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, m DECIMAL(5,2)') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE means USING csv AS
SELECT avg(m) AS mean FROM STREAM readings WATERMARK ts DELAY OF INTERVAL 0 SECONDS GROUP BY window(ts, '10 minutes');
