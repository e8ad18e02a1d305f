#!/usr/bin/env bash
# Compares eviction policies by hit ratio, offline: on a trace in Mooncake's format, reversed and a third
# of its conversations too, and on workloads made up. Prints tables; writes eviction_*.json to build/bench.
#
#   scripts/run/bench_eviction.sh [TRACE (KVPlayground/data/small_trace.jsonl)]
set -euo pipefail
trace=$(realpath "${1:-$(dirname "${BASH_SOURCE[0]}")/../../KVPlayground/data/small_trace.jsonl}")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/run/build.sh release eviction_sim
mkdir -p build/bench
for variant in none reversed third; do
  build/release/bin/eviction_sim "$trace" --variant "$variant" --json "build/bench/eviction_$variant.json"
done
build/release/bin/eviction_sim --synthetic all --json build/bench/eviction_synthetic.json
