CREATE STREAMING TABLE t AS
SELECT topic, count(*) AS n FROM STREAM kafka WITH (subscribe = 'x')
GROUP BY topic;
