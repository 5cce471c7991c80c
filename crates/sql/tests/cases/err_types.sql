CREATE STREAMING TABLE a AS
SELECT topic + timestamp AS x, value > 3 AS y, CASE WHEN 1 THEN 2 END AS z, CAST(value AS MONEY) AS m, sum(topic, 1) AS s,
  date_format(topic) AS d, CAST(array(1) AS INT) AS i, topic.x AS f
FROM STREAM kafka WITH (subscribe = 'x');
CREATE STREAMING TABLE b AS SELECT topic, offset, window FROM STREAM kafka WITH (subscribe = 'x') WATERMARK timestamp DELAY OF INTERVAL 1 MINUTE GROUP BY window(timestamp, '5 minutes'), topic;
CREATE STREAMING TABLE c AS SELECT count(*) AS n FROM STREAM kafka WITH (subscribe = 'x') WATERMARK timestamp DELAY OF INTERVAL 1 MINUTE GROUP BY window(timestamp, '5 minuts');
CREATE STREAMING TABLE d AS SELECT k.topic, l.topic AS t2, topic AS t3 FROM STREAM kafka WITH (subscribe = 'x') k JOIN x l ON k.topic = l.topic;
CREATE STREAMING TABLE e AS SELECT from_csv(CAST(value AS STRING), 'a INT, b FOO').* FROM STREAM kafka WITH (subscribe = 'x');
CREATE STREAMING TABLE f AS SELECT explode(topic) AS e FROM STREAM kafka WITH (subscribe = 'x');
-- file: sources.sql
CREATE TABLE x (topic STRING) USING csv LOCATION '/x';
