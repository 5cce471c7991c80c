-- Statements and parentheses that do not end.
CREATE STREAMING TABLE a AS SELECT CAST(value AS STRING AS v FROM STREAM kafka WITH (subscribe = 'x');
CREATE STREAMING TABLE b AS SELECT topic, upper(lower(topic) AS v FROM STREAM kafka WITH (subscribe = 'x');
CREATE STREAMING TABLE c AS SELECT topic FROM STREAM kafka WITH (subscribe = 'x')
CREATE STREAMING TABLE d AS SELECT topic FROM STREAM kafka WITH (subscribe = 'x');
CREATE MATERIALIZED VIEW e AS SELECT count(*) AS n FROM d;
CREATE STREAMING TABL f AS SELECT topic FROM STREAM kafka WITH (subscribe = 'x');
CREATE MATERIALIZED g AS SELECT 1 AS x;
CREATE STREAMING TABLE h AS SELECT topic) FROM STREAM kafka WITH (subscribe = 'x');
CREATE STREAMING TABLE i AS SELECT v.topic FROM (SELECT topic FROM STREAM kafka WITH (subscribe = 'x') AS v;
SET a.b = c
CREATE STREAMING TABLE j AS SELECT 1 AS x;
