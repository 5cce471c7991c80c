SET millstream.triger = 10 seconds;
SET millstream.topic = x;
SET spark.sql.shufle.partitions = 4;
CREATE STREAMING TABLE a TBLPROPERTIES ('millstream.topic.keys' = 'x') AS SELECT key FROM STREAM kafka WITH (subscribe = 'a');
CREATE STREAMING TABLE b TBLPROPERTIES ('millstream.dead.letters' = 'x') AS SELECT key FROM STREAM kafka WITH (subscribe = 'a');
CREATE STREAMING TABLE c TBLPROPERTIES ('millstream.postgres' = 'x') AS SELECT key FROM STREAM kafka WITH (subscribe = 'a');
CREATE STREAMING TABLE d TBLPROPERTIES ('delta.apendOnly' = 'x') AS SELECT key FROM STREAM kafka WITH (subscribe = 'a');
CREATE STREAMING TABLE e AS SELECT key FROM STREAM kafka WITH (subscribe = 'a', startingOfsets = 'earliest');
CREATE STREAMING TABLE f AS SELECT key FROM STREAM kafka WITH (subscribe = 'a', 'millstream.trigger' = '1 second');
-- file: sources.sql
CREATE TABLE g (a INT) USING csv OPTIONS ('millstream.csv.header' = 'true') LOCATION '/tmp/g';
