-- What a function is given for every row and can never use is an error of the query.
CREATE STREAMING TABLE a AS SELECT from_utc_timestamp(window.start, 'Europe/Berln') AS t, count(*) AS n FROM STREAM kafka WITH (subscribe = 'x') WATERMARK timestamp DELAY OF INTERVAL 1 MINUTE GROUP BY window(timestamp, '5 minutes');
CREATE STREAMING TABLE b AS SELECT date_format(window.start, 'YYYY-MM-dd') AS t, count(*) AS n
FROM STREAM kafka WITH (subscribe = 'x') WATERMARK timestamp DELAY OF INTERVAL 1 MINUTE GROUP BY window(timestamp, '5 minutes');
CREATE STREAMING TABLE c AS SELECT try_to_timestamp(topic, 'yyyy-MM-dd E') AS t, to_date(topic, 'yyyy]-MM') AS d FROM STREAM kafka WITH (subscribe = 'x');
CREATE STREAMING TABLE d AS SELECT regexp_like(topic, '(a') AS t, split(topic, '[') AS s, to_utc_timestamp(timestamp, 'Mars/Olympus') AS z
FROM STREAM kafka WITH (subscribe = 'x');
CREATE STREAMING TABLE e AS SELECT from_json(topic, 'a FOO') AS j, timestampdiff(MINUT, timestamp, timestamp) AS m, next_day(timestamp, 'Funday') AS f,
  topic RLIKE '*' AS r, date_part('fortnight', timestamp) AS p
FROM STREAM kafka WITH (subscribe = 'x');
CREATE STREAMING TABLE f AS SELECT from_unixtime(offset, "yyyy-MM-dd'T") AS u, percentile(offset, 0.95) AS p, percentil_approx(offset, 0.5) AS q, zebra(1) AS z
FROM STREAM kafka WITH (subscribe = 'x');
SET spark.sql.session.timeZone = Europe/Berln;
