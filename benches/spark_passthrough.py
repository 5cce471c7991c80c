"""The peer of the latency measurement: Apache Spark copies one topic into another, one micro-batch after the other.

    spark submit spark_passthrough.py BOOTSTRAP FROM TO CHECKPOINT
"""

import sys

from pyspark.sql import SparkSession

bootstrap, source, target, checkpoint = sys.argv[1:]
spark = SparkSession.builder.getOrCreate()
rows = spark.readStream.format("kafka").options(**{"kafka.bootstrap.servers": bootstrap, "subscribe": source, "startingOffsets": "earliest"}).load()
copy = rows.select("value").writeStream.format("kafka").options(**{"kafka.bootstrap.servers": bootstrap, "topic": target})
copy.option("checkpointLocation", checkpoint).start().awaitTermination()
