"""Spark's Kafka source and sink, as batch and as stream with a stop in its middle. Usage: spark-submit spark_kafka.py BOOTSTRAP"""

import sys
import tempfile

from pyspark.sql import SparkSession

BOOTSTRAP = sys.argv[1]
spark = SparkSession.builder.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
rows = spark.range(1000).selectExpr("cast(id as string) as key", "concat('v', id) as value")
checkpoint = tempfile.mkdtemp()


def topic(reader, name, **options):
    return reader.format("kafka").options(**{"kafka.bootstrap.servers": BOOTSTRAP, "subscribe": name, **options}).load()


def write(frame, name):
    frame.write.format("kafka").option("kafka.bootstrap.servers", BOOTSTRAP).option("topic", name).save()


def stream():
    source = topic(spark.readStream, "spark-in", startingOffsets="earliest", maxOffsetsPerTrigger="300")
    sink = source.selectExpr("key", "value").writeStream.format("kafka").trigger(availableNow=True)
    options = {"kafka.bootstrap.servers": BOOTSTRAP, "topic": "spark-out", "checkpointLocation": checkpoint}
    sink.options(**options).start().awaitTermination()


write(rows, "spark-in")
assert topic(spark.read, "spark-in", startingOffsets="earliest").count() == 1000
stream()
write(rows.limit(10), "spark-in")
stream()
out = topic(spark.read, "spark-out")
assert out.count() == 1010, out.count()
assert out.selectExpr("cast(value as string)").distinct().count() == 1000
assert topic(spark.read, "spark-in", startingTimestamp="1000").count() == 1010
print("ok")
