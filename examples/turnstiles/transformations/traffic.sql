CREATE STREAMING TABLE turnstile_traffic
USING csv
COMMENT 'Counters of each turnstile, summed in five minutes'
AS SELECT date_format(window.start, 'yyyy-MM-dd HH:mm:ss') AS start, ca, unit, scp, station, linename, division, date, desc,
          sum(entries) AS entries, sum(exits) AS exits
FROM STREAM audits WATERMARK ts DELAY OF INTERVAL 10 MINUTES
GROUP BY window(ts, '5 minutes'), ca, unit, scp, station, linename, division, date, desc;

CREATE STREAMING TABLE station_traffic
USING csv
COMMENT 'Counters of each station, summed in four hours'
AS SELECT date_format(window.start, 'yyyy-MM-dd HH:mm:ss') AS start, station, count(*) AS audits, sum(entries) AS entries, sum(exits) AS exits
FROM STREAM audits WATERMARK ts DELAY OF INTERVAL 10 MINUTES
GROUP BY window(ts, '4 hours'), station;
