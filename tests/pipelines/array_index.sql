-- An index beyond the list would stop Spark; get() gives null.
CREATE TEMPORARY VIEW lines AS
SELECT CAST(value AS STRING) AS line
FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest');
CREATE STREAMING TABLE seconds USING csv AS
SELECT split(line, ',')[1] AS second, get(split(line, ','), 2) AS third FROM STREAM lines;
