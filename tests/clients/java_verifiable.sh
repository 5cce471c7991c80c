#!/usr/bin/env bash
# The programs by which Kafka's own system tests check a broker: VerifiableProducer, VerifiableConsumer of both group protocols,
# TransactionalMessageCopier; and kafka-transactions looking for what hangs. Usage: java_verifiable.sh BOOTSTRAP
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kafka=$here/../peers/kafka/kafka
command -v java > /dev/null || { echo "java is not installed"; exit 77; }
bootstrap=$1
run=verifiable-$RANDOM$RANDOM
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
export JDK_JAVA_OPTIONS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC" # many short programs
fail() { echo "java_verifiable: $*" >&2; exit 1; }
tools=org.apache.kafka.tools
tool() { local name=$1; shift; timeout 60 "$kafka" tool "$name" "$@" 2> "$work/err" || { cat "$work/err" >&2; return 1; }; }

tool topics --bootstrap-server "$bootstrap" --create --topic "$run" --partitions 1 > /dev/null
tool $tools.VerifiableProducer --bootstrap-server "$bootstrap" --topic "$run" --max-messages 1000 --acks -1 > "$work/produced"

# A copier that ends between two transactions and one that goes on where it stopped, aborting some at random.
copy() {
  tool $tools.TransactionalMessageCopier --broker-list "$bootstrap" --input-topic "$run" --input-partition 0 --output-topic "$run-copy" \
    --max-messages "$1" --transactional-id "$run" --transaction-size 50 --consumer-group "$run-copy" "${@:2}" > "$work/copied"
  grep -q '"stage":"ShutdownComplete".*"remaining":0' "$work/copied" || fail "the copier did not end: $(tail -n 3 "$work/copied")"
}
copy 400
copy 600 --enable-random-aborts --group-mode
for protocol in classic consumer; do
  tool $tools.VerifiableConsumer --bootstrap-server "$bootstrap" --topic "$run" --group-id "$run-$protocol" --group-protocol $protocol \
    --reset-policy earliest --max-messages 1000 --verbose > "$work/$protocol"
done
tool console-consumer --bootstrap-server "$bootstrap" --topic "$run-copy" --from-beginning --max-messages 1000 --timeout-ms 20000 \
  --isolation-level read_committed > "$work/copy"

python3 - "$work" <<'P' || fail "what was read is not what was sent"
import json, pathlib, sys
work = pathlib.Path(sys.argv[1])
lines = lambda name: [json.loads(line) for line in (work / name).read_text().splitlines() if line.startswith("{")]
sent = [(one["offset"], one["value"]) for one in lines("produced") if one["name"] == "producer_send_success"]
assert [offset for offset, _ in sent] == list(range(1000)), sent[:3]
assert lines("produced")[-1]["acked"] == 1000, lines("produced")[-1]
for protocol in ("classic", "consumer"):
    events = lines(protocol)
    read = [(one["offset"], one["value"]) for one in events if one["name"] == "record_data"]
    assert read == sent, (protocol, len(read))
    committed = [offset["offset"] for one in events if one["name"] == "offsets_committed" for offset in one["offsets"]]
    assert committed[-1] == 1000, (protocol, committed)
copied = (work / "copy").read_text().splitlines()
assert copied == [value for _, value in sent], (len(copied), copied[:3])
P
hanging=$(tool $tools.TransactionsCommand --bootstrap-server "$bootstrap" find-hanging --broker-id 1 | tail -n +2)
[ -z "$hanging" ] || fail "transactions hang: $hanging"
tool get-offsets --bootstrap-server "$bootstrap" --topic "$run-copy" > "$work/end"
[ "$(cut -d: -f3 "$work/end")" -gt 1000 ] || fail "no markers in $(cat "$work/end")"
echo ok
