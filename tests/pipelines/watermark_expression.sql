-- The event time may be an expression with a name, on the topic itself.
CREATE STREAMING TABLE counts USING csv AS
SELECT date_format(window.start, 'HH:mm') AS start, date_format(window.end, 'HH:mm') AS end, count(*) AS n
FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest')
     WATERMARK try_to_timestamp(CAST(value AS STRING), 'yyyy-MM-dd HH:mm') AS at DELAY OF INTERVAL 1 MINUTE AS r
GROUP BY window(at, '2 minutes');
