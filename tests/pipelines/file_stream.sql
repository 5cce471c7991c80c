-- A folder of files is a stream: each file is an epoch here; a field that is no time is null, and its row is in no window.
CREATE STREAMING TABLE hours USING csv AS
SELECT date_format(window.start, 'HH:mm') AS start, station, count(*) AS trips, sum(seconds) AS seconds
FROM STREAM trips WATERMARK ts DELAY OF INTERVAL 0 SECONDS
GROUP BY window(ts, '1 hour'), station;
CREATE STREAMING TABLE long USING csv AS
SELECT * FROM STREAM(trips) WHERE seconds >= 30;
-- file: sources.sql
CREATE TABLE trips (ts TIMESTAMP, station STRING, seconds BIGINT) USING csv OPTIONS (header "true") LOCATION 'trips';
-- file: trips/1.csv
ts,station,seconds
2024-01-01 12:01:00,A,60
2024-01-01 12:31:00,B,30
-- file: trips/2.csv
ts,station,seconds
2024-01-01 12:02:00,A,20
2024-01-01 14:00:00,B,10
bad,C,x
