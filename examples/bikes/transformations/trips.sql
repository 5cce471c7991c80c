-- The publisher changed the layout several times: an extra 13th column in the spring of 2018, three formats of the start time,
-- lines that end in CRLF. One view makes them one.
CREATE TEMPORARY VIEW trips AS
SELECT t.tripduration, t.start_station_id, t.start_station_name,
       coalesce(try_to_timestamp(t.starttime, 'yyyy-MM-dd HH:mm:ss'),
                try_to_timestamp(t.starttime, 'yyyy-MM-dd HH:mm:ss.SSSS'),
                try_to_timestamp(t.starttime, 'MM/dd/yy HH:mm:ss')) AS ts
FROM (SELECT from_csv(
          CASE WHEN size(split(line, ',')) = 16 THEN regexp_replace(line, '^((?:[^,]*,){12})[^,]*,', '$1') ELSE line END,
          'tripduration BIGINT, starttime STRING, stoptime STRING, start_station_id INT, start_station_name STRING, start_lat DOUBLE, start_lon DOUBLE, end_station_id INT, end_station_name STRING, end_lat DOUBLE, end_lon DOUBLE, bikeid INT, usertype STRING, birth_year STRING, gender INT') AS t
      FROM (SELECT regexp_replace(CAST(value AS STRING), '\\r$', '') AS line
            FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'bike-trips', startingOffsets = 'earliest')));

CREATE STREAMING TABLE station_hours
USING csv
COMMENT 'Trips that began at each station in each hour, and how long they took'
AS SELECT date_format(window.start, 'yyyy-MM-dd HH:mm:ss') AS start, start_station_id, start_station_name,
          count(*) AS trips, avg(tripduration) AS mean_seconds
FROM STREAM trips WATERMARK ts DELAY OF INTERVAL 30 MINUTES
GROUP BY window(ts, '1 hour'), start_station_id, start_station_name;

-- All hours so far, by station; recomputed as they close.
CREATE MATERIALIZED VIEW busiest_stations
USING csv
COMMENT 'Stations by their number of trips'
AS SELECT start_station_id, start_station_name, sum(trips) AS trips, max(trips) AS busiest_hour
FROM station_hours
GROUP BY start_station_id, start_station_name;
