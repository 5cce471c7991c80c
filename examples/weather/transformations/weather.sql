-- One document a station and day; temperatures in degrees Celsius, precipitation in millimetres.
CREATE TEMPORARY VIEW observations AS
SELECT d.station.id AS station_id, d.station.country_code AS country, d.station.state_code AS state,
       try_to_timestamp(d.date, "yyyy-MM-dd'T'HH:mm:ss") AS ts, d.TMIN AS tmin, d.TMAX AS tmax, d.PRCP AS prcp
FROM (SELECT from_json(CAST(value AS STRING),
        'date STRING, station STRUCT<id: STRING, name: STRING, country_code: STRING, state_code: STRING>, TMIN DOUBLE, TMAX DOUBLE, PRCP DOUBLE') AS d
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'weather', startingOffsets = 'earliest'));

CREATE TEMPORARY VIEW arizona AS
SELECT o.station_id, s.place, s.region, o.ts, o.tmin, o.tmax, o.prcp
FROM STREAM observations AS o JOIN stations AS s ON o.station_id = s.id
WHERE o.country = 'US' AND o.state = 'AZ';

CREATE STREAMING TABLE arizona_days
USING csv
COMMENT 'Every day of every station in Arizona'
AS SELECT date_format(ts, 'yyyy-MM-dd') AS day, station_id, place, region, tmin, tmax, prcp FROM STREAM arizona;

CREATE STREAMING TABLE arizona_months
USING csv
COMMENT 'Thirty days of each place in Arizona'
AS SELECT date_format(window.start, 'yyyy-MM-dd') AS start, place, count(*) AS days, min(tmin) AS coldest, max(tmax) AS hottest, sum(prcp) AS rain
FROM STREAM arizona WATERMARK ts DELAY OF INTERVAL 2 DAYS
GROUP BY window(ts, '30 days'), place;

-- An alert is a table: its query is the condition, and each row is also a record of the topic.
CREATE STREAMING TABLE cold_nights
USING json
COMMENT 'Nights at or below ten degrees in Phoenix'
TBLPROPERTIES ('millstream.topic' = 'weather-alerts', 'millstream.topic.key' = 'station')
AS SELECT station_id AS station, place, date_format(ts, 'yyyy-MM-dd') AS day, tmin
FROM STREAM arizona
WHERE station_id = 'USW00023183' AND tmin <= 10.0;
