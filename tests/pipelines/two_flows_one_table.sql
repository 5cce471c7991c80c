-- Two queries append to one table, by name.
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE lines (k STRING, n BIGINT) USING csv;
CREATE FLOW small AS INSERT INTO lines BY NAME SELECT n, k FROM STREAM events WHERE n < 10;
CREATE FLOW large AS INSERT INTO lines BY NAME SELECT upper(k) AS k, n FROM STREAM events WHERE n >= 10;
