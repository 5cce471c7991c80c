#!/usr/bin/env bash
# Kafka's own client and tools with transactions. Usage: java_transactions.sh BOOTSTRAP
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kafka=$here/../peers/kafka/kafka
command -v javac > /dev/null || { echo "javac is not installed"; exit 77; }
jars=${PEERS_DIR:-$HOME/.cache/millstream-peers}/kafka/jars
[ -e "$jars/.complete" ] || command -v mvn > /dev/null || { echo "mvn is not installed"; exit 77; }
"$kafka" setup
bootstrap=$1
run=jtool-$RANDOM$RANDOM
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
fail() { echo "java_transactions: $*" >&2; exit 1; }
has() { grep -q -- "$1" <<< "$2" || fail "no '$1' in: $2"; }
tool() { local name=$1; shift; timeout 60 "$kafka" tool "$name" --bootstrap-server "$bootstrap" "$@" 2> >(grep -v SLF4J >&2 || true); }

javac -cp "$jars/*" -d "$out" "$here/programs/Transactions.java"
timeout 120 java -cp "$jars/*:$out" -Dlog4j2.configurationFile="$here/../peers/kafka/log4j2.xml" Transactions "$bootstrap" 40

has "2000 records sent" "$("$kafka" tool producer-perf --topic "$run" --num-records 2000 --record-size 100 --throughput -1 \
  --transactional-id "$run" --transaction-duration-ms 20 --bootstrap-server "$bootstrap")"
read_all() { tool console-consumer --topic "$run" --from-beginning --max-messages 2000 --timeout-ms 20000 --isolation-level "$1" 2> /dev/null | wc -l; }
[ "$(read_all read_committed)" = 2000 ] || fail "not all of producer-perf's records are committed"
transactions() { tool org.apache.kafka.tools.TransactionsCommand "$@"; }
has "$run.*CompleteCommit" "$(transactions list)"
has "CompleteCommit" "$(transactions describe --transactional-id "$run")"
has "ProducerEpoch" "$(transactions describe-producers --topic "$run" --partition 0)"
has "transaction.version.*FinalizedVersionLevel: 2" "$(tool org.apache.kafka.tools.FeatureCommand describe)"
echo ok
