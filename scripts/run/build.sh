#!/usr/bin/env bash
# Builds a preset (release by default) after installing what that needs; the programs are then in
# build/PRESET/bin/.
#
#   scripts/run/build.sh [dev|release|asan|tsan|analyze] [target ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
preset=${1:-release}
shift || true
scripts/init/install_deps.sh
# What one checkout has compiled, another need not.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros
cmake --preset "$preset" >/dev/null
if [ $# -gt 0 ]; then
  cmake --build --preset "$preset" --target "$@"
else
  cmake --build --preset "$preset"
fi
