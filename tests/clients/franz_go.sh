#!/usr/bin/env bash
# franz-go. Usage: franz_go.sh BOOTSTRAP
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/programs/go"
command -v go > /dev/null || { echo "go is not installed"; exit 77; }
go mod download > /dev/null 2>&1 || { echo "the Go modules of tests/clients/programs/go cannot be had"; exit 77; }
program=$(mktemp)
trap 'rm -f "$program"' EXIT
go build -o "$program" ./franz
timeout 150 "$program" "$1"
