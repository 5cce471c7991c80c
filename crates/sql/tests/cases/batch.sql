-- What a materialized view may be, and what functions it calls.
CREATE MATERIALIZED VIEW aggregates AS
SELECT station, count(*), count(DISTINCT line) AS lines, sum(small) AS s, sum(price) AS p, avg(price) AS ap, avg(small) AS a,
  min(at), max(at) AS latest, approx_count_distinct(line) AS about, first(line) AS f, max_by(line, at) AS mb, collect_list(line) AS all_lines,
  stddev(value), any_value(line) AS any, bool_or(small > 3) AS b, count_if(small > 1) AS ci
FROM readings GROUP BY 1 HAVING count(*) > 3 ORDER BY count(*) DESC, station;

CREATE MATERIALIZED VIEW scalar_functions AS
SELECT upper(line) AS u, substring(line, 2, 3) AS sub, substr(line, 2) AS sub2, trim(line) AS t, trim(BOTH 'x' FROM line) AS tb, ltrim(line) AS lt,
  extract(HOUR FROM at) AS h, hour(at) AS h2, year(at) AS y, date_trunc('HOUR', at) AS tr, date_add(date(at), 3) AS da, datediff(date(at), date '2024-01-01') AS dd,
  unix_timestamp(at) AS ut, round(value, 2) AS r, ceil(value) AS ce, floor(value) AS fl, abs(small) AS ab, value::int AS i, small % 3 AS m,
  regexp_replace(line, '\\d+', '#') AS rr, regexp_extract(line, '(\\d+)', 1) AS re, line LIKE 'a\_%' AS lk, concat_ws('-', line, station) AS cw,
  try_cast(line AS INT) AS tc, to_json(struct(line, small)) AS j, named_struct('a', 1, 'b', line) AS ns, map('k', 1)['k'] AS mk, array(1, 2)[0] AS ai,
  element_at(split(line, ','), 1) AS ea, size(split(line, ',')) AS sz, nullif(line, '') AS ni, if(small > 1, 'a', 'b') AS iff, greatest(small, 3, 2.5) AS g,
  coalesce(line, station, 'x') AS co, CAST(at AS DATE) AS cd, CAST(at AS STRING) AS cs, timestampdiff(MINUTE, at, current_timestamp()) AS td, current_date AS today,
  try_divide(small, 0) AS td0, initcap(line) AS ic, lpad(line, 5, '0') AS lp, instr(line, 'a') AS ix, replace(line, 'a', 'b') AS rep, sha2(line, 256) AS sh,
  at + INTERVAL '1' HOUR AS plus, -small AS neg, small + 1 AS next, next * 2 AS lateral, NOT small > 3 AS no, !true AS nt
FROM readings;

CREATE MATERIALIZED VIEW joined AS
WITH latest AS (SELECT station, max(at) AS at FROM readings GROUP BY station)
SELECT r.* EXCEPT (price), l.at AS latest FROM readings r JOIN latest l USING (station)
WHERE r.at = l.at AND r.station NOT IN (SELECT station FROM readings WHERE small < 0);

CREATE MATERIALIZED VIEW distinct_pairs AS SELECT DISTINCT station, line FROM readings, (VALUES (1), (2)) AS v(n) WHERE small = n;
CREATE MATERIALIZED VIEW windows AS SELECT window.start AS s, window(at, '1 hour').end AS e, sum(small) AS n FROM readings GROUP BY ALL;
-- file: sources.sql
CREATE TABLE readings (station STRING, line STRING, small INT, price DECIMAL(10,2), value DOUBLE, at TIMESTAMP) USING parquet LOCATION '/r';
