-- Aggregates under all their names, and bits.
CREATE STREAMING TABLE numbers USING csv AS
SELECT e.* FROM (SELECT from_csv(CAST(value AS STRING), 'x INT, y INT') AS e
      FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'input', startingOffsets = 'earliest'));
CREATE MATERIALIZED VIEW truths USING csv AS
SELECT every(x > 1) AS e, bool_and(x > 0) AS ba, some(x > 3) AS s, any(x > 9) AS a, bool_or(x > 9) AS bo, count_if(x > 1) AS c, bit_and(x) AS b1, bit_or(x) AS b2, bit_xor(x) AS b3 FROM numbers;
CREATE MATERIALIZED VIEW moments USING csv AS
SELECT mean(x) AS m, median(x) AS md, round(std(x), 9) AS s1, round(stddev_samp(x), 9) AS s2, round(stddev(x), 9) AS s3, round(stddev_pop(x), 9) AS s4, round(variance(x), 9) AS v1, round(var_samp(x), 9) AS v2, round(var_pop(x), 9) AS v3 FROM numbers;
CREATE MATERIALIZED VIEW pairs USING csv AS
SELECT round(corr(x, y), 9) AS c, round(covar_pop(x, y), 9) AS cp, round(covar_samp(x, y), 9) AS cs, round(regr_slope(x, y), 9) AS rs, round(regr_intercept(x, y), 9) AS ri, round(regr_r2(x, y), 9) AS r2, regr_count(x, y) AS rc, round(regr_avgx(x, y), 9) AS ax, round(regr_avgy(x, y), 9) AS ay, round(regr_sxx(x, y), 9) AS sxx, round(regr_sxy(x, y), 9) AS sxy, round(regr_syy(x, y), 9) AS syy FROM numbers;
CREATE MATERIALIZED VIEW picks USING csv AS
SELECT min_by(x, y) AS mi, max_by(x, y) AS ma, min(x) AS a, max(x) AS b, count(x) AS c, count(*) AS d, count(DISTINCT x) AS e, try_sum(x) AS t FROM numbers;
