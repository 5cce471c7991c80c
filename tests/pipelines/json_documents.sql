-- Documents with lists of documents, maps, and JSON made again.
CREATE TEMPORARY VIEW documents AS
SELECT from_json(CAST(value AS STRING), 'id INT, items ARRAY<STRUCT<name: STRING, n: INT>>, tags MAP<STRING, STRING>') AS d
FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest');
CREATE STREAMING TABLE items USING csv AS
SELECT id, item.name AS name, item.n AS n FROM (SELECT d.id AS id, explode(d.items) AS item FROM STREAM documents);
CREATE STREAMING TABLE tags USING csv AS
SELECT d.id AS id, d.tags['color'] AS color, size(d.items) AS items, to_json(named_struct('id', d.id, 'first', get(d.items, 0))) AS json
FROM STREAM documents WHERE d.id IS NOT NULL;
