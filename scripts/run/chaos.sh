#!/usr/bin/env bash
# Servers on one Azurite, clients under mixed load, and for so many minutes (30) faults by a seeded
# schedule: kill -9, SIGSTOP, full disks, slow and cut networks, storage that goes away, clocks that jump.
# Then proves from a complete history that nothing was wrong or lost: docs/CHAOS.md. Needs root.
#
#   scripts/run/chaos.sh [minutes] [--seed N] [--keep DIRECTORY] [--report FILE]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/init/install_deps.sh iproute2 mount
scripts/init/install_azurite.sh >/dev/null
scripts/run/build.sh release KVStoreServer chaos_client clock_shim delay_link
exec /usr/bin/python3 -B tests/chaos/chaos.py --programs build/release/bin "$@"
