CREATE STREAMING TABLE words USING csv AS
SELECT topic, explode(split(CAST(value AS STRING), ' ')) AS word FROM STREAM kafka WITH (subscribe = 'lines');
CREATE STREAMING TABLE parts USING csv AS
SELECT part, k.offset FROM STREAM kafka WITH (subscribe = 'lines') k LATERAL VIEW OUTER explode(split(CAST(value AS STRING), ',')) p AS part;
