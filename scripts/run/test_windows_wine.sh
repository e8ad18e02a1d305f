#!/usr/bin/env bash
# Runs what scripts/init/build_windows_cross.sh built under Wine: the server, driven by this system's
# own playground, on its embedded store and before Azurite; killed, and started again; the unit tests.
# docs/WINDOWS.md has the last result, and what Wine cannot show.
#
#   scripts/run/test_windows_wine.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
top=$PWD
exes=$top/build/windows-cross
[ -e "$exes/bin/KVStoreServer.exe" ] || { echo "run scripts/init/build_windows_cross.sh first" >&2; exit 1; }
scripts/init/install_deps.sh wine wine64
scripts/run/build.sh release KVPlayground

work=$(mktemp -d)
export WINEPREFIX=$work/prefix WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
azurite=
finish() {
  kill_server
  [ -z "$azurite" ] || kill "$azurite" 2>/dev/null || true
  wineserver -k 2>/dev/null || true
  rm -rf "$work"
}
# Wine's processes are this system's; the server's is the one whose command line has its directory.
server_pids() { pgrep -f "KVStoreServer.exe .*$work" || true; }
kill_server() {
  local pids
  pids=$(server_pids)
  [ -z "$pids" ] || kill -KILL $pids 2>/dev/null || true
}
trap finish EXIT
ok() { echo "ok: $*"; }
fail() {
  echo "FAILED: $*" >&2
  [ ! -e "$work/log" ] || tail -20 "$work/log" >&2
  exit 1
}

port=
start() {  # options of the server
  : >"$work/log"
  (cd "$work" && exec wine "$exes/bin/KVStoreServer.exe" --host 127.0.0.1 --port 0 --capacity 2GiB \
    --memory 64MiB --disable-metrics "$@" >/dev/null 2>"$work/log") &
  disown  # or the shell tells of each that is killed
  local i
  for ((i = 0; i < 300; ++i)); do
    port=$(sed -n 's/.* serving .*port=\([0-9]*\).*/\1/p' "$work/log")
    [ -z "$port" ] || return 0
    sleep 0.2
  done
  fail "the server does not start"
}
play() {  # least hit ratio of the first iteration, further options
  local least=$1
  shift
  timeout 300 build/release/bin/KVPlayground KVPlayground/data/conversation_tokens.json 2 2 \
    --server "127.0.0.1:$port" --buffer-bytes 65536 --json "$work/report.json" "$@" >"$work/play.log" 2>&1 ||
    { cat "$work/play.log" >&2; fail "the playground"; }
  grep -q '"mismatches": 0,' "$work/report.json" || fail "mismatches"
  awk -v least="$least" '/"iterations": \[/ { inside = 1 }
    inside && /hit_ratio/ { gsub(/[^0-9.]/, "", $2); exit !($2 >= least) }' "$work/report.json" ||
    fail "a hit ratio below $least: $(cat "$work/play.log")"
}

timeout 300 wine wineboot -i >/dev/null 2>&1 || fail "Wine does not start"
ok "$(wine --version), $(timeout 60 wine "$exes/bin/KVStoreServer.exe" --version | tr -d '\r')"
foreign=$(x86_64-w64-mingw32-objdump -p "$exes/bin/KVStoreServer.exe" | sed -n 's/.*DLL Name: //p' |
  grep -viE '^(advapi32|bcrypt|crypt32|dbghelp|iphlpapi|kernel32|msvcrt|rpcrt4|shlwapi|user32|ws2_32|ole32|secur32|winhttp)\.dll$' || true)
[ -z "$foreign" ] || fail "it needs $foreign"
ok "needs Windows' own libraries alone"

start --data-dir "$work/data"
play 0
ok "the embedded store: $(grep -c . "$work/play.log") lines of report, 0 mismatches"
kill_server
start --data-dir "$work/data"
play 1
ok "killed, and started again: every block still there, 0 mismatches"
kill_server

if command -v npm >/dev/null; then
  main=$(scripts/init/install_azurite.sh)
  node "$main" --blobHost 127.0.0.1 --blobPort 0 --inMemoryPersistence --skipApiVersionCheck --silent \
    --disableTelemetry >"$work/azurite.log" 2>&1 &
  azurite=$!
  for ((i = 0; i < 150; ++i)); do
    blob_port=$(sed -n 's#.*successfully listens on http://127.0.0.1:\([0-9]*\).*#\1#p' "$work/azurite.log")
    [ -z "$blob_port" ] || break
    sleep 0.2
  done
  [ -n "$blob_port" ] || fail "Azurite does not start"
  # The key that Azurite documents: no secret.
  export AZURE_STORAGE_CONNECTION_STRING="DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;BlobEndpoint=http://127.0.0.1:$blob_port/devstoreaccount1;"
  start --storage azure --cache-dir "$work/cache" --cache-capacity 1GiB
  play 0 --storage devstoreaccount1
  ok "Azurite by libcurl, behind a disk tier: 0 mismatches"
  kill_server
  start --storage azure --memory 16MiB
  play 1 --storage devstoreaccount1
  ok "another server, without that disk, finds every block there: 0 mismatches"
  kill_server
  start --storage azure --memory 16MiB --transport winhttp
  play 1 --storage devstoreaccount1
  play 0 --storage devstoreaccount1 --container by-winhttp
  ok "Azurite by WinHTTP, reading what is there and writing anew: 0 mismatches"
  kill_server
else
  echo "no npm here: Azurite is left out"
fi

passed=0 wrong=()
for test in "$exes"/tests/*_test.exe; do
  [ -e "$test" ] || continue
  name=$(basename "$test" .exe)
  if (cd "$work" && timeout 300 wine "$test" >"$work/$name.log" 2>&1); then
    passed=$((passed + 1))
  else
    wrong+=("$name")
  fi
done
[ $((passed + ${#wrong[@]})) -gt 0 ] || fail "no unit test was built"
echo "unit tests: $passed programs passed${wrong[*]:+, failed: ${wrong[*]}}"
for name in "${wrong[@]}"; do grep -a "FAILED\|Failure" "$work/$name.log" | sort -u | head -12; done
[ ${#wrong[@]} -eq 0 ]
