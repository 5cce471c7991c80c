-- ANSI arithmetic: what overflows or divides by zero is a dead letter; the try_ functions give null.
CREATE TEMPORARY VIEW pairs AS
SELECT e.* FROM (SELECT from_csv(CAST(value AS STRING), 'a BIGINT, b BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE results USING csv AS
SELECT a, b, a + b AS plus, a - b AS minus, a * b AS times, a / b AS over, a % b AS rest, a div b AS whole, -a AS negative, abs(b) AS absolute
FROM STREAM pairs;
