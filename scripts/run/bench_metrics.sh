#!/usr/bin/env bash
# Measures what metrics and console lines cost a hot Read of 1.2 MB: servers without either, with
# --metrics-port and a scrape every 2 s, with the JSON line a call, and with both, in turn, many times.
# Fails where the metrics take more than 2 % of the throughput. About 4 minutes.
#
#   scripts/run/bench_metrics.sh [--rounds N (40)] [--seconds N (1)] [--in-flight N (8)] [--bytes N (1258291)]
#                                [--scrape SECONDS (2)] [--kinds off,on,lines,both]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/run/build.sh release KVStoreServer bench_client
exec /usr/bin/python3 -B benchmarks/dataplane/observed.py --programs build/release/bin "$@"
