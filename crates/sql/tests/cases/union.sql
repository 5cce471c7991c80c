CREATE STREAMING TABLE u USING csv AS
SELECT topic, partition AS n FROM STREAM kafka WITH (subscribe = 'a')
UNION ALL
SELECT 'b', offset FROM STREAM kafka WITH (subscribe = 'a');
CREATE MATERIALIZED VIEW m AS SELECT a.topic, b.n FROM u AS a, u AS b WHERE a.topic = b.topic;
CREATE MATERIALIZED VIEW ranked AS SELECT topic, n, row_number() OVER (PARTITION BY topic ORDER BY n DESC) AS rank, sum(n) OVER (PARTITION BY topic) AS total FROM u;
