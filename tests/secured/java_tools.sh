#!/usr/bin/env bash
# Kafka's own tools against a secured broker: users by kafka-configs, rules by kafka-acls, console producer and consumer over SASL_SSL.
# Usage: java_tools.sh SASL_SSL SASL_PLAINTEXT SSL CERTIFICATES USER PASSWORD
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kafka=$here/../peers/kafka/kafka
command -v java > /dev/null || { echo "java is not installed"; exit 77; }
[ -e "${PEERS_DIR:-$HOME/.cache/millstream-peers}/kafka/jars/.complete" ] || command -v mvn > /dev/null || { echo "mvn is not installed"; exit 77; }
bootstrap=$1 certificates=$4
run=java-$RANDOM$RANDOM
export JDK_JAVA_OPTIONS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC" # many short programs
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
fail() { echo "java_tools: $*" >&2; exit 1; }
has() { grep -q -- "$1" <<< "$2" || fail "no '$1' in: $2"; }
lacks() { ! grep -q -- "$1" <<< "$2" || fail "'$1' in: $2"; }
login() { # file mechanism user password
  cat > "$work/$1" <<P
security.protocol=SASL_SSL
ssl.truststore.type=PEM
ssl.truststore.location=$certificates/ca.pem
sasl.mechanism=$2
sasl.jaas.config=org.apache.kafka.common.security.$5 required username="$3" password="$4";
P
}
login admin SCRAM-SHA-256 "$5" "$6" scram.ScramLoginModule
login carol SCRAM-SHA-512 carol secret scram.ScramLoginModule
tool() { local name=$1; shift; timeout 60 "$kafka" tool "$name" --bootstrap-server "$bootstrap" "$@" 2> >(grep -v SLF4J >&2 || true); }
admin() { local name=$1; shift; tool "$name" --command-config "$work/admin" "$@"; }

admin configs --alter --add-config 'SCRAM-SHA-512=[iterations=8192,password=secret]' --entity-type users --entity-name carol > /dev/null
has "Created topic $run" "$(admin topics --create --topic "$run")"
listed=$(tool topics --command-config "$work/carol" --list)
[ -z "$listed" ] || fail "carol sees: $listed"
admin acls --add --allow-principal User:carol --producer --consumer --topic "$run" --group "$run" > /dev/null
has "User:carol" "$(admin acls --list --topic "$run")"
[ "$(tool topics --command-config "$work/carol" --list)" = "$run" ] || fail "carol does not see the topic"
seq 1 100 | tool console-producer --topic "$run" --command-config "$work/carol"
got=$(tool console-consumer --topic "$run" --from-beginning --max-messages 100 --group "$run" --command-config "$work/carol" 2> /dev/null | wc -l)
[ "$got" = 100 ] || fail "$got of 100 records"
# A denial outweighs, patterns of names are told apart, and other things than topics have rules, too.
admin acls --add --deny-principal User:carol --operation Read --topic "$run" > /dev/null
refused=$(tool console-consumer --topic "$run" --from-beginning --max-messages 1 --timeout-ms 10000 --group "$run" --command-config "$work/carol" 2>&1 || true)
has "TopicAuthorizationException" "$refused"
admin acls --remove --force --deny-principal User:carol --operation Read --topic "$run" > /dev/null
admin acls --add --allow-principal User:carol --allow-host 127.0.0.1 --operation Describe --topic "$run" --resource-pattern-type prefixed \
  --transactional-id "$run" > /dev/null
admin acls --add --allow-principal User:carol --operation Describe --cluster > /dev/null
rules=$(admin acls --list --principal User:carol)
for pattern in "TOPIC, name=$run, patternType=PREFIXED" "TRANSACTIONAL_ID, name=$run, patternType=PREFIXED" "CLUSTER, name=kafka-cluster, patternType=LITERAL"; do
  has "resourceType=$pattern" "$rules"
done
lacks "permissionType=DENY" "$rules"
admin acls --remove --force --topic "$run" --resource-pattern-type prefixed --transactional-id "$run" > /dev/null
lacks "PREFIXED" "$(admin acls --list --principal User:carol)"
admin acls --remove --force --topic "$run" --cluster > /dev/null
[ -z "$(tool topics --command-config "$work/carol" --list)" ] || fail "carol still sees the topic"
echo ok
