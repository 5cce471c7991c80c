-- All mistakes of a project are told at once.
CREATE STREAMING TABLE a AS
SELECT topik, cuont(value) AS n, partition
FROM STREAM kafka WITH (subscribe = 'x', startingOffset = 'earliest');
CREATE STREAMING TABLE b AS
SELECT topik, to_timestmp(topic), k.offset.x
FROM STREAM kafka WITH (subscribe = 'x') AS k;
CREATE STREAMING TABLE c AS SELECT * FROM STREAM bb;
CREATE STREAMING TABLE d AS SELECT * FROM STREAM b;
CREATE FLOW f AS INSERT INTO bd BY NAME SELECT 1;
