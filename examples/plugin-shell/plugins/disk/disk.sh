#!/bin/sh
# The actions acme/disk.usage and acme/disk.largest: inputs as JSON on stdin, output as JSON on stdout, log on stderr.
set -eu

request=$(cat)

# input NAME DEFAULT: the input as text. JSON is read by a program that knows it, never with sed: a path may hold
# quotes, and a newline. Where jq is installed, `jq -r` does the same.
input() {
    printf '%s' "$request" | python3 -c '
import json, sys
print(json.load(sys.stdin)["inputs"].get(sys.argv[1], sys.argv[2]))' "$1" "$2"
}

usage() {
    path=$(input path '')
    limit=$(input maxPercent 100)
    # -P: one line for each file system, in the same columns on every system; -k: in KiB. By itself and not in a pipe,
    # where `sh` would not notice that it failed.
    table=$(df -Pk -- "$path")
    numbers=$(echo "$table" | awk 'NR == 2 { sub("%", "", $5); print $5, $4 * 1024 }')
    used=${numbers% *} free=${numbers#* }
    echo "$path: $used % used" >&2
    if [ "$used" -gt "$limit" ]; then
        echo "more than $limit %" >&2
        exit 1                  # the task has failed; what stands on stderr says why
    fi
    printf '{"usedPercent": %d, "freeBytes": %.0f}\n' "$used" "$free"
}

largest() {
    path=$(input path '')
    count=$(input count 5)
    [ -d "$path" ] || { echo "there is no folder $path" >&2; exit 1; }
    # File names may hold anything but NUL, so that is what parts them until they are JSON.
    find "$path" -type f -print0 | python3 -c '
import json, os, sys
paths = [path for path in sys.stdin.buffer.read().split(b"\0") if path]
sizes = sorted(((os.lstat(path).st_size, path) for path in paths), reverse=True)[: int(sys.argv[1])]
json.dump([{"path": path.decode(errors="replace"), "bytes": size} for size, path in sizes], sys.stdout)' "$count"
}

case $1 in
    usage | largest) "$1" ;;
    *) echo "there is no action $1" >&2; exit 2 ;;
esac
