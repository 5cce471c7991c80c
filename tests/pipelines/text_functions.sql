-- Texts: split, regular expressions with groups, substrings from both ends, padding, and how CSV quotes what comes out.
CREATE TEMPORARY VIEW lines AS
SELECT CAST(value AS STRING) AS line
FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest');
CREATE STREAMING TABLE pieces USING csv AS
SELECT trim(split(line, ',')[0]) AS name, size(split(line, ',')) AS parts, regexp_replace(line, '([A-Z])(\\d+)', '$2$1') AS swapped,
       regexp_extract(line, '(\\d+) St', 1) AS street, substring(line, 1, 3) AS head, substring(line, -2) AS tail
FROM STREAM lines;
CREATE STREAMING TABLE made USING csv AS
SELECT lpad(split_part(line, ',', 2), 6, '0') AS padded, concat_ws('/', 'a', CAST(NULL AS STRING), split_part(line, ',', 2)) AS path, length(line) AS length,
       initcap(lower(line)) AS title, replace(line, ' ', '') AS packed, concat(line, '"') AS quoted
FROM STREAM lines;
