-- Flows meet the columns of their table by name.
SET pipelines.topic = second;
CREATE STREAMING TABLE all_lines (line STRING COMMENT 'as it came', topic STRING, at TIMESTAMP, size BIGINT)
USING json PARTITIONED BY (topic) COMMENT 'both topics'
TBLPROPERTIES ('millstream.topic' = 'all', 'millstream.topic.key' = 'topic');
CREATE FLOW first AS INSERT INTO all_lines BY NAME SELECT topic, CAST(value AS STRING) AS LINE FROM STREAM kafka WITH (subscribe = '${env:HOME_TOPIC}');
CREATE FLOW second COMMENT 'other' AS INSERT INTO all_lines BY NAME
  SELECT length(CAST(value AS STRING)) AS size, timestamp AS at, topic, "none" AS line FROM STREAM kafka WITH (subscribe = '${pipelines.topic}');
CREATE STREAMING TABLE copy AS SELECT * FROM STREAM all_lines WHERE size > 3;
CREATE MATERIALIZED VIEW totals AS SELECT topic, count(DISTINCT line) AS lines, sum(size) AS bytes FROM all_lines GROUP BY topic ORDER BY lines DESC LIMIT 10;
