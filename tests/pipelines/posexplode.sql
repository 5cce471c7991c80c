-- Items with their positions, and structs as columns.
CREATE TEMPORARY VIEW lines AS
SELECT CAST(value AS STRING) AS line FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest');
CREATE STREAMING TABLE positions USING csv AS SELECT line, posexplode(split(line, ' ')) AS (place, word) FROM STREAM lines;
CREATE STREAMING TABLE joined USING csv AS SELECT p, w FROM STREAM lines LATERAL VIEW posexplode(split(line, ' ')) x AS p, w WHERE p > 0;
CREATE STREAMING TABLE pairs USING csv AS SELECT posexplode(map('line', line, 'length', CAST(length(line) AS STRING))) FROM STREAM lines;
CREATE STREAMING TABLE structs USING csv AS
SELECT line, inline(array(named_struct('n', length(line), 'first', left(line, 1)), NULL)) FROM STREAM lines;
