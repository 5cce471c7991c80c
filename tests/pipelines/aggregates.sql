-- Several aggregates over several types: what a sum or a mean is of, nulls, FILTER, texts by their bytes.
CREATE TEMPORARY VIEW readings AS
SELECT e.*, try_to_timestamp(e.time, 'yyyy-MM-dd HH:mm') AS ts
FROM (SELECT from_csv(CAST(value AS STRING), 'time STRING, k STRING, i INT, d DOUBLE, m DECIMAL(5,2), b BOOLEAN, s STRING') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE STREAMING TABLE sums USING csv AS
SELECT k, sum(i) AS sum_i, sum(d) AS sum_d, sum(m) AS sum_m, avg(i) AS avg_i
FROM STREAM readings WATERMARK ts DELAY OF INTERVAL 0 SECONDS
GROUP BY window(ts, '10 minutes'), k;
CREATE STREAMING TABLE extremes USING csv AS
SELECT k, min(s) AS min_s, max(s) AS max_s, min(b) AS min_b, max(m) AS max_m, min(d) AS min_d, date_format(max(ts), 'HH:mm') AS last
FROM STREAM readings WATERMARK ts DELAY OF INTERVAL 0 SECONDS
GROUP BY window(ts, '10 minutes'), k;
CREATE STREAMING TABLE counts USING csv AS
SELECT k, count(*) AS rows, count(s) AS texts, count(*) FILTER (WHERE i > 1) AS some, sum(i) FILTER (WHERE i > 1) AS big,
       bool_and(b) AS every_b, bool_or(b) AS any_b
FROM STREAM readings WATERMARK ts DELAY OF INTERVAL 0 SECONDS
GROUP BY window(ts, '10 minutes'), k;
