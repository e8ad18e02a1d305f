#!/usr/bin/env bash
# Builds the server and runs it on the embedded store, in the foreground, on 127.0.0.1:50051; Ctrl-C stops it.
#
#   scripts/run/run_local.sh [options of KVStoreServer, which win]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/run/build.sh release KVStoreServer >/dev/null
exec build/release/bin/KVStoreServer --host 127.0.0.1 --data-dir build/store --disable-metrics "$@"
