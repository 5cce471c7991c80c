#!/usr/bin/env bash
# Kafka's own command-line tools, which are the Java client and its admin: topics, configs, groups, offsets, producers and consumers.
# Usage: java_tools.sh BOOTSTRAP
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kafka=$here/../peers/kafka/kafka
command -v java > /dev/null || { echo "java is not installed"; exit 77; }
[ -e "${PEERS_DIR:-$HOME/.cache/millstream-peers}/kafka/jars/.complete" ] || command -v mvn > /dev/null || { echo "mvn is not installed"; exit 77; }
bootstrap=$1
run=java-$RANDOM$RANDOM
export JDK_JAVA_OPTIONS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC" # many short programs
fail() { echo "java_tools: $*" >&2; exit 1; }
tool() { local name=$1; shift; timeout 60 "$kafka" tool "$name" --bootstrap-server "$bootstrap" "$@" 2> >(grep -v SLF4J >&2 || true); }
has() { grep -q -- "$1" <<< "$2" || fail "no '$1' in: $2"; }

has "Created topic $run" "$(tool topics --create --topic "$run" --partitions 3 --config retention.ms=100000)"
described=$(tool topics --describe --topic "$run")
has "PartitionCount: 3" "$described"
has "retention.ms=100000" "$described"

for codec in none gzip snappy lz4 zstd; do
  seq 1 500 | tool console-producer --topic "$run" --compression-codec "$codec"
done
got=$(tool console-consumer --topic "$run" --from-beginning --max-messages 2500 --group "$run" 2> /dev/null | sort -n | uniq -c | awk '$1 != 5' | wc -l)
[ "$got" = 0 ] || fail "$got numbers did not come five times"
[ "$(tool get-offsets --topic "$run" | awk -F: '{sum += $3} END {print sum}')" = 2500 ] || fail "the ends do not sum to 2500"

group=$(tool groups --describe --group "$run")
[ "$(awk -v g="$run" '$1 == g {lag += $6; at += $4} END {print at, lag}' <<< "$group")" = "2500 0" ] || fail "the group: $group"
has "$run" "$(tool groups --list)"
tool groups --group "$run" --topic "$run" --reset-offsets --to-earliest --execute > /dev/null
has "successful" "$(tool groups --delete --group "$run")"

tool configs --alter --entity-type topics --entity-name "$run" --add-config 'segment.ms=60000,cleanup.policy=[compact,delete]' > /dev/null
has "cleanup.policy=compact,delete" "$(tool configs --describe --entity-type topics --entity-name "$run")"
tool configs --alter --add-config 'producer_byte_rate=1024,consumer_byte_rate=2048' --entity-type clients --entity-name "$run" > /dev/null
has "Quota configs for client-id '$run' are consumer_byte_rate=2048.0, producer_byte_rate=1024.0" \
  "$(tool configs --describe --entity-type clients --entity-name "$run")"
tool configs --alter --delete-config producer_byte_rate,consumer_byte_rate --entity-type clients --entity-name "$run" > /dev/null
[ -z "$(tool configs --describe --entity-type clients --entity-name "$run")" ] || fail "the quota is still there"
tool configs --alter --add-config request_percentage=5000 --entity-type users --entity-name "$run" --entity-type clients --entity-default > /dev/null
has "Quota configs for user-principal '$run', the default client-id are request_percentage=5000.0" \
  "$(tool configs --describe --entity-type users --entity-name "$run" --entity-type clients --entity-default)"
tool configs --alter --add-config connection_creation_rate=100000 --entity-type ips --entity-name 10.9.8.7 > /dev/null
has "Quota configs for ip '10.9.8.7' are connection_creation_rate=100000.0" "$(tool configs --describe --entity-type ips)"
has "num.partitions=1 " "$(tool configs --describe --entity-type brokers --entity-name 1 --all)"

printf '{"partitions":[{"topic":"%s","partition":0,"offset":1}],"version":1}' "$run" > "${TMPDIR:-/tmp}/$run.json"
has "low_watermark: 1" "$(tool org.apache.kafka.tools.DeleteRecordsCommand --offset-json-file "${TMPDIR:-/tmp}/$run.json")"
rm "${TMPDIR:-/tmp}/$run.json"
has "\"partition\":\"$run-2\"" "$(tool org.apache.kafka.tools.LogDirsCommand --describe --topic-list "$run")"
has '"acked":200' "$(tool org.apache.kafka.tools.VerifiableProducer --topic "$run-v" --max-messages 200)"
tool topics --delete --topic "$run"
echo ok
