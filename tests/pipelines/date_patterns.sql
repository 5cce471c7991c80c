-- Spark's date patterns, reading and writing; a date that is none is null.
CREATE TEMPORARY VIEW times AS
SELECT coalesce(try_to_timestamp(line, 'yyyy-MM-dd HH:mm:ss.SSS'), try_to_timestamp(line, 'MM/dd/yy HH:mm'), try_to_timestamp(line, 'd MMM yyyy h:mm a')) AS ts
FROM (SELECT CAST(value AS STRING) AS line
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE shown USING csv AS
SELECT date_format(ts, 'EEE, d MMM yyyy HH:mm:ss') AS mail, date_format(ts, "yyyy-MM-dd'T'HH:mm:ss.SSS") AS iso, date_format(ts, 'hh:mm a') AS clock,
       date_format(ts, 'D') AS day, date_format(ts, 'EEEE') AS weekday, date_format(ts, 'MMMM') AS month, date_format(ts, 'yy Q') AS quarter
FROM STREAM times;
CREATE STREAMING TABLE parts USING csv AS
SELECT ts, year(ts) AS year, month(ts) AS month, dayofweek(ts) AS dow, hour(ts) AS hour, date_trunc('hour', ts) AS on_the_hour, CAST(ts AS DATE) AS day,
       date_add(CAST(ts AS DATE), 1) AS next, unix_seconds(ts) AS seconds, CAST(ts AS STRING) AS text
FROM STREAM times;
