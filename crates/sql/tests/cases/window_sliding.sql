-- Sliding windows, HAVING, window columns in every place.
CREATE STREAMING TABLE waits USING json AS
SELECT window, window.end AS until, ride, avg(wait) AS mean, max(wait), count(DISTINCT_RIDES) FILTER (WHERE wait > 10) AS long
FROM (SELECT j.*, j.n AS distinct_rides FROM (SELECT from_json(CAST(value AS STRING), 'ride STRING, wait INT, n INT, ts TIMESTAMP, unused STRING') AS j
      FROM STREAM kafka WITH (subscribe = 'waits')))
     WATERMARK ts DELAY OF INTERVAL 1 HOUR 30 MINUTES AS w
WHERE w.wait >= 0 AND ride IS NOT NULL
GROUP BY window(ts, '1 hour', '10 minutes'), ride
HAVING count(*) > 1;
