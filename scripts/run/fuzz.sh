#!/usr/bin/env bash
# Builds the fuzz targets with clang and runs each for some seconds (60 by default), all sanitizers on.
# What a run learns is kept in build/fuzz/corpus; a finding stops it and is left in build/fuzz.
#
#   scripts/run/fuzz.sh [seconds] [target ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=${1:-60}
shift || true
scripts/init/install_deps.sh clang libclang-rt-14-dev
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz
cd build/fuzz
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=($(cd fuzz && find . -maxdepth 1 -type f -executable -printf '%f\n' | sort))
for target in "${targets[@]}"; do
  mkdir -p "corpus/$target"
  seeds=../../tests/fuzz/corpus/$target
  [ -d "$seeds" ] || seeds=
  echo "== $target, $seconds s"
  if ! "fuzz/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=8192 \
    -print_final_stats=1 "corpus/$target" $seeds >"$target.log" 2>&1; then
    tail -n 40 "$target.log" >&2
    echo "fuzz: $target found something; see build/fuzz/$target.log" >&2
    exit 1
  fi
  grep -E 'cov:.*DONE|stat::number_of_executed_units' "$target.log"
done
