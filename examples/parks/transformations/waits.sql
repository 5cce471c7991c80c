-- Every few minutes a sign at each ride says how long people wait there; a closed ride says 0.
CREATE TEMPORARY VIEW signs AS
SELECT s.park, s.ride, s.wait_time, s.is_open, try_to_timestamp(s.time, 'yyyy-MM-dd HH:mm:ss') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, park STRING, ride STRING, wait_time INT, is_open BOOLEAN') AS s
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'park-waits', startingOffsets = 'earliest'));

CREATE STREAMING TABLE ride_waits
USING csv
COMMENT 'Waiting time of each open ride over an hour, every half an hour'
AS SELECT date_format(window.start, 'yyyy-MM-dd HH:mm:ss') AS start, park, ride,
          count(*) AS polls, avg(wait_time) AS mean_minutes, max(wait_time) AS longest_minutes
FROM STREAM signs WATERMARK ts DELAY OF INTERVAL 15 MINUTES
WHERE is_open
GROUP BY window(ts, '1 hour', '30 minutes'), park, ride;
