-- try_cast of texts to every plain type.
CREATE TEMPORARY VIEW lines AS
SELECT CAST(value AS STRING) AS line
FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest');
CREATE STREAMING TABLE values USING csv AS
SELECT line, try_cast(line AS INT) AS i, try_cast(line AS DOUBLE) AS d, try_cast(line AS BOOLEAN) AS b, try_cast(line AS DATE) AS day,
       try_cast(line AS DECIMAL(6, 2)) AS m, CAST(try_cast(line AS DOUBLE) AS STRING) AS text
FROM STREAM lines;
