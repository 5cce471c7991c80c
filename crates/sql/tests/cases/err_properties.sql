-- What is said of a table's topic.
CREATE STREAMING TABLE a TBLPROPERTIES ('millstream.topic' = 'out', 'millstream.topic.key' = 'pge') AS SELECT topic AS page FROM STREAM kafka WITH (subscribe = 'x');
CREATE STREAMING TABLE b
TBLPROPERTIES (
  'millstream.topic' = 'a b',
  'millstream.late.topic' = '__millstream.late',
  'millstream.topic.format' = 'avro'
) AS SELECT topic AS page FROM STREAM kafka WITH (subscribe = 'x');
CREATE STREAMING TABLE c AS SELECT topic FROM STREAM kafka WITH (subscribe = '');
CREATE STREAMING TABLE d AS SELECT topic FROM STREAM kafka WITH (subscribe = 'good,no good');
CREATE STREAMING TABLE e USING csv OPTIONS ('header' = 'true') AS SELECT topic FROM STREAM kafka WITH (subscribe = 'x');
