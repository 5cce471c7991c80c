#!/usr/bin/env bash
# Spark's own Kafka source and sink. Usage: spark.sh BOOTSTRAP
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ -e "${PEERS_DIR:-$HOME/.cache/millstream-peers}/spark/.complete" ] || { echo "Spark is not installed (tests/peers/spark/spark setup)"; exit 77; }
"$here/../peers/spark/spark" submit "$here/programs/spark_kafka.py" "$1"
