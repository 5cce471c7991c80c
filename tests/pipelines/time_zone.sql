-- Times are of the session's zone, over the change of clocks too; windows are cut in UTC.
SET spark.sql.session.timeZone = Europe/Berlin;
CREATE TEMPORARY VIEW events AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, n BIGINT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE shown USING csv AS
SELECT time, ts, date_format(ts, 'HH:mm XXX') AS local, unix_seconds(ts) AS seconds, hour(ts) AS hour FROM STREAM events;
CREATE STREAMING TABLE days USING csv AS
SELECT date_format(window.start, 'yyyy-MM-dd HH:mm') AS start, count(*) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 0 SECONDS
GROUP BY window(ts, '1 day');
