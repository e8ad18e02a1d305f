#!/usr/bin/env bash
# Measures what a tenant that floods the server does to another's latency: p50 and p99 of the other's
# reads alone and beside the flood, in turn. Fails where a p99 rises by more than 2 x. About 5 minutes.
#
#   scripts/run/fairness.sh [--rounds N] [--seconds N]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/run/build.sh release KVStoreServer load_client
exec /usr/bin/python3 -B tests/limits/fairness.py --programs build/release/bin "$@"
