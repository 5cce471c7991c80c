-- What runs, but hardly as it was meant.
SET spark.sql.session.timezone = Europe/Berlin;
SET mapreduce.output.fileoutputformat.compress.type = BLOCK;
CREATE STREAMING TABLE a USING csv TBLPROPERTIES ('header' = 'true', 'quality' = 'bronze', 'Millstream.csv.header' = 'true', 'pipelines.reset.allowed' = 'false')
AS SELECT try_to_timestamp(topic, 'yyyy-mm-dd HH:MM:SS') AS t, date_format(timestamp, 'HH:mm') AS f
FROM STREAM kafka WITH (subscribe = 'x');
CREATE MATERIALIZED VIEW b AS SELECT count(*) AS n FROM names;
-- file: sources.sql
CREATE TABLE names (name STRING) USING csv
LOCATION 'data/names.csv';
