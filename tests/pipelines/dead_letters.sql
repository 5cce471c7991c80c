-- What would stop Spark is taken out of the stream with its reason; the rest goes on.
CREATE STREAMING TABLE numbers USING csv AS
SELECT CAST(CAST(value AS STRING) AS INT) AS n, 100 / CAST(CAST(value AS STRING) AS INT) AS share
FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest');
