-- Types and names as Spark has them.
CREATE STREAMING TABLE e USING parquet AS
SELECT 1, 3000000000, 1.50, 1e3, -7 AS m, 'a' || 1 AS c, "double quoted" AS dq,
  partition + 1, partition / 2 AS half, offset DIV 2 AS whole, offset % 10 AS last, partition * 1.5 AS scaled,
  partition = '3', CASE WHEN partition > 1 THEN 'big' ELSE 'small' END AS size,
  CASE partition WHEN 1 THEN 1 ELSE 2.5 END AS n,
  if(partition = 1, 'x', NULL) AS x, coalesce(topic, 'none') AS t, nvl(partition, 0L) AS p,
  timestamp BETWEEN TIMESTAMP '2024-01-01 00:00:00' AND '2025-01-01' AS year, timestamp - INTERVAL 1 DAY AS before,
  topic LIKE 'a%' AS l, topic NOT IN ('a', 'b') AS ni, cast(offset AS STRING), date(timestamp) AS d,
  struct(topic, partition AS p) AS s, array(1, 2L) AS arr, `offset` AS `strange name`, Kafka.TOPIC
FROM STREAM kafka WITH (subscribe = 'x') WHERE NOT (topic IS NULL OR partition <=> 3);
