#!/usr/bin/env bash
# Runs fleets of 1, 2, 4 and 8 servers over one container (Azurite) in network namespaces of its own,
# at round-trip times of 0, 1, 5 and 20 ms, with up to 256 connections of clients; prints what was met
# and what was missed. Needs root. About 15 minutes, 3 with --quick.
#
#   scripts/run/scale.sh [--quick] [--json FILE]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/init/install_deps.sh iproute2
scripts/init/install_azurite.sh >/dev/null
scripts/run/build.sh release KVStoreServer KVPlayground bench_client delay_link
exec /usr/bin/python3 -B benchmarks/scale/scale.py --programs build/release/bin \
  --data KVPlayground/data/conversation_tokens.json "$@"
