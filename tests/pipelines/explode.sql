-- A row becomes as many as its list has; of an empty text split there is one.
CREATE TEMPORARY VIEW lines AS
SELECT CAST(value AS STRING) AS line
FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest');
CREATE STREAMING TABLE words USING csv AS
SELECT explode(split(line, ' ')) AS word FROM STREAM lines;
CREATE STREAMING TABLE pairs USING csv AS
SELECT line, part FROM STREAM lines LATERAL VIEW explode(split(line, ' ')) p AS part WHERE part <> 'a';
