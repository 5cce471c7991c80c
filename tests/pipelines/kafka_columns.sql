-- A record's own columns; the value may be null.
CREATE STREAMING TABLE records USING csv AS
SELECT topic, partition, offset, CAST(key AS STRING) AS key, CAST(value AS STRING) AS value, date_format(timestamp, 'HH:mm:ss') AS at, timestampType AS kind
FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest');
