#!/usr/bin/env bash
# KafkaJS. Usage: kafkajs.sh BOOTSTRAP
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/programs/kafkajs"
command -v node > /dev/null || { echo "node is not installed"; exit 77; }
[ -d node_modules/kafkajs ] || { echo "KafkaJS is not installed (npm ci in tests/clients/programs/kafkajs)"; exit 77; }
timeout 150 node kafkajs.js "$1"
