#!/usr/bin/env bash
# kcat (librdkafka): every codec, keys, headers, offsets by time, a group that goes on where it was. Usage: kcat.sh BOOTSTRAP
set -euo pipefail
command -v kcat > /dev/null || { echo "kcat is not installed"; exit 77; }
bootstrap=$1
run=kcat-$RANDOM$RANDOM
fail() { echo "kcat: $*" >&2; exit 1; }

for codec in none gzip snappy lz4 zstd; do
  topic=$run-$codec
  seq 1 1000 | kcat -P -b "$bootstrap" -t "$topic" -z "$codec" -X enable.idempotence=true
  seq 1 1000 | diff - <(kcat -C -b "$bootstrap" -t "$topic" -e -q) || fail "$codec: not what was sent"
done

# Key, header and time stamp come back.
echo 'k:v' | kcat -P -b "$bootstrap" -t "$run-parts" -K : -H colour=blue
got=$(kcat -C -b "$bootstrap" -t "$run-parts" -e -q -f '%k %s %h\n')
[ "$got" = "k v colour=blue" ] || fail "got $got"

# Offsets by time: long ago is the first, the end is behind the last.
[ "$(kcat -Q -b "$bootstrap" -t "$run-gzip:0:0" | awk '{print $NF}')" = 0 ] || fail "offset of time 0"
[ "$(kcat -Q -b "$bootstrap" -t "$run-gzip:0:-1" | awk '{print $NF}')" = 1000 ] || fail "offset of the end"

# A group reads everything once, and after a second start only what is new.
group() { timeout 30 kcat -b "$bootstrap" -G "$run" -X auto.offset.reset=earliest -e -q "$run-gzip" "$run-lz4" 2> /dev/null; }
[ "$(group | wc -l)" = 2000 ] || fail "the group did not read everything"
echo new | kcat -P -b "$bootstrap" -t "$run-gzip"
[ "$(group)" = new ] || fail "the group did not go on where it was"

kcat -L -b "$bootstrap" | grep -q "topic \"$run-zstd\" with 1 partitions" || fail "the topic is not listed"
echo ok
