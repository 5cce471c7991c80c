-- Documents: nested fields, missing ones are null, text that is no JSON is a struct of nulls and copied to the dead letters.
CREATE STREAMING TABLE docs USING csv AS
SELECT d.id AS id, d.place.lat AS lat, d.tags[0] AS tag, d.t AS t
FROM (SELECT from_json(CAST(value AS STRING), 'id INT, place STRUCT<lat: DOUBLE>, tags ARRAY<STRING>, t DOUBLE') AS d
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'))
WHERE d.id IS NOT NULL;
