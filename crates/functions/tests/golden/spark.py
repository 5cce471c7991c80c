"""Asks a real Spark for the type and value of each expression of expressions.sql, and writes results.tsv: expression, type, value.

An error stands as `!CLASS` (and no type); null as `NULL`. Run in the environment of tests/peers' Spark: python spark.py [SOURCE RESULTS [ZONE]]
"""
import pathlib
import re
import sys

from pyspark.sql import SparkSession

here = pathlib.Path(__file__).parent
source, results = [pathlib.Path(a) for a in sys.argv[1:3]] if len(sys.argv) > 2 else (here / "expressions.sql", here / "results.tsv")
spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.session.timeZone", sys.argv[3] if len(sys.argv) > 3 else "UTC")
    .config("spark.sql.shuffle.partitions", "1")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("OFF")
out = ["# " + spark.version]
for line in source.read_text().splitlines():
    if not line.strip() or line.startswith("#"):
        continue
    # array_item is what `a[i]` is called between our planner and our functions.
    asked = re.sub(r"^array_item\((.*), (.*?)\)$", r"\1[\2]", line)
    try:
        kind, value = spark.sql(f"SELECT typeof({asked}), CAST({asked} AS STRING)").collect()[0]
        value = "NULL" if value is None else value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    except Exception as error:
        found = re.search(r"\[([A-Z0-9_]+)", str(error))
        kind, value = "", "!" + (found.group(1) if found else "ERROR")
    out.append(f"{line}\t{kind}\t{value}")
results.write_text("\n".join(out) + "\n")
