#!/usr/bin/env bash
# Builds, starts a server on the embedded store, plays the shipped conversations through the real
# client, checks every byte, prints the report, and stops the server.
#
#   scripts/run/demo.sh [options of KVPlayground, for instance --buffer-bytes 65536]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/run/build.sh release KVStoreServer KVPlayground
bin=build/release/bin

work=$(mktemp -d)
server=
finish() {
  if [ -n "$server" ] && kill "$server" 2>/dev/null; then wait "$server" || true; fi
  rm -rf "$work"
}
trap finish EXIT

# Port 0 takes a free one; the log says which.
"$bin/KVStoreServer" --host 127.0.0.1 --port 0 --data-dir "$work/store" \
  >"$work/calls.jsonl" 2>"$work/server.log" &
server=$!
port=
for _ in $(seq 300); do
  port=$(sed -n 's/.* serving .*port=\([0-9]*\).*/\1/p' "$work/server.log")
  [ -n "$port" ] && break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
if [ -z "$port" ]; then
  echo "demo: the server did not start:" >&2
  cat "$work/server.log" >&2
  exit 1
fi
echo "demo: server on 127.0.0.1:$port, store in $work/store"

status=0
"$bin/KVPlayground" KVPlayground/data/conversation_tokens.json 5 2 \
  --server "127.0.0.1:$port" "$@" || status=$?

kill -TERM "$server"
wait "$server" || status=$?
server=
echo
echo "demo: the server's log"
cat "$work/server.log"
echo "demo: and its last metrics lines"
tail -n 3 "$work/calls.jsonl"
exit "$status"
