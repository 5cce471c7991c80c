-- Every place where a watermark may stand.
CREATE TEMPORARY VIEW v AS SELECT CAST(value AS STRING) AS line, timestamp AS ts FROM STREAM(kafka) WITH ('subscribe' = 'a') WATERMARK timestamp DELAY OF INTERVAL '10 minutes';

CREATE STREAMING TABLE by_expression AS
SELECT window(at, '5 minutes') AS w, count(*) AS n
FROM STREAM v WATERMARK to_timestamp(line) AS at DELAY OF INTERVAL 1 MINUTE AS x
GROUP BY w;

CREATE STREAMING TABLE in_a_cte AS
WITH lines AS (SELECT * FROM STREAM v),
     timed AS (SELECT line, ts FROM lines WATERMARK ts DELAY OF INTERVAL 2 HOURS l)
SELECT window.start, window.end, count(1) FROM timed GROUP BY window(ts, '5 minutes');

CREATE STREAMING TABLE of_the_view AS SELECT DISTINCT ts, line FROM STREAM v;

CREATE STREAMING TABLE chained AS
SELECT window.start AS start, sum(n) AS n
FROM (SELECT window_time(w) AS t, n FROM (SELECT window AS w, count(*) AS n FROM STREAM v GROUP BY window(ts, '5 minutes')))
GROUP BY window(t, '1 hour');

CREATE STREAMING TABLE chained_by_struct AS
SELECT window.start AS start, sum(n) AS n
FROM (SELECT window, count(*) AS n FROM STREAM v GROUP BY window(ts, '5 minutes'))
GROUP BY window(window, '1 hour');
