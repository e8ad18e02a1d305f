#!/usr/bin/env bash
# Measures KVStoreServer side by side with what it is held against: a bare gRPC server, generated
# protobuf code, a TCP loop, Redis, memcached, nginx and a loop over a file, each started here on a
# free port of the loopback and run in turn. Prints tables and the bars with PASS or FAIL; writes
# results.json and index.html to a folder. About 4 minutes with --quick, 40 without.
#
#   scripts/run/bench.sh [--quick] [--only PATTERN] [--out DIR (build/bench/dataplane)] [--trace FILE]
#
# PATTERN is a regular expression for the cases' names, for instance 'read 1.2MB' or 'lookup'.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/init/install_deps.sh redis-server memcached nginx-light libhiredis-dev
scripts/run/build.sh release KVStoreServer KVPlayground bench_server bench_client
if cmake --build build/release --target help | grep -q '^prefix_index_benchmark:'; then
  scripts/run/build.sh release prefix_index_benchmark
fi
exec /usr/bin/python3 -B benchmarks/dataplane/bench.py --programs build/release/bin "$@"
