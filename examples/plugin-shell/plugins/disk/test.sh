#!/bin/sh
# Tests the plugin without a workflow, as the engine would call it: sh test.sh
set -eu
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

expect() { # expect WHAT EXPECTED GOT
    [ "$2" = "$3" ] || { echo "FAILED: $1: expected $2, got $3"; exit 1; }
    echo "ok: $1"
}

printf 12345 > "$folder/a \"quoted\" name"
printf 1 > "$folder/small"
got=$(echo "{\"inputs\": {\"path\": \"$folder\", \"count\": 1}}" | ./disk.sh largest)
expect "the largest file" "[{\"path\": \"$folder/a \\\"quoted\\\" name\", \"bytes\": 5}]" "$got"

got=$(echo "{\"inputs\": {\"path\": \"$folder\"}}" | ./disk.sh usage 2> /dev/null | grep -c '"usedPercent": [0-9]*, "freeBytes": [0-9]*')
expect "usage" 1 "$got"

code=0
echo '{"inputs": {"path": "/nowhere"}}' | ./disk.sh usage > /dev/null 2>&1 || code=$?
expect "a folder that is not there is a failure" 1 "$code"
