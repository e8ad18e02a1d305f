#!/usr/bin/env bash
# Writes and reads blocks of mixed sizes, 32 KiB to 40 MiB, for so many minutes (60) through a server
# of its own, and prints the most memory that it took beside its --memory.
#
#   scripts/run/soak_memory.sh [minutes] [further options of benchmarks/dataplane/soak_memory.py or the server]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
minutes=${1:-60}
shift || true
scripts/init/install_deps.sh libhiredis-dev
scripts/run/build.sh release KVStoreServer bench_client
exec /usr/bin/python3 -B benchmarks/dataplane/soak_memory.py --programs build/release/bin \
  --minutes "$minutes" "$@"
