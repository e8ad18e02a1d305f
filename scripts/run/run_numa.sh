#!/usr/bin/env bash
# As run_local.sh, with a server for each NUMA node, on ports from 50051 on.
#
#   scripts/run/run_numa.sh [options of KVStoreServer, which win]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
exec scripts/run/run_local.sh --numa auto --data-dir build/store-numa "$@"
