#!/usr/bin/env bash
# Builds the fuzz targets with clang, all sanitizers on, and runs each for a million executions at least, and
# for some seconds at least where they are given. Prints a table. A finding stops it and is left in build/fuzz.
#
#   scripts/run/fuzz.sh [seconds] [target ...]
#   scripts/run/fuzz.sh --keep [target ...]   chooses anew what of the corpus is kept in tests/fuzz/corpus
#
# It begins with tests/fuzz/corpus, and keeps what it learns in build/fuzz/corpus.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
least_executions=1000000
seconds=${1:-0}
shift || true
scripts/init/install_deps.sh clang libclang-rt-14-dev
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz
cd build/fuzz
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=($(cd fuzz && find . -maxdepth 1 -type f -executable -printf '%f\n' | sort))
if [ "$seconds" = --keep ]; then
  for target in "${targets[@]}"; do
    /usr/bin/python3 ../../tests/fuzz/keep_corpus.py "fuzz/$target" "corpus/$target" "../../tests/fuzz/corpus/$target"
  done
  exit 0
fi

# Stacks of allocations cost a third of the time, and a finding is run again anyway.
export ASAN_OPTIONS=malloc_context_size=4:quarantine_size_mb=16
echo "| target | executions | edges | seconds |"
echo "|---|---|---|---|"
for target in "${targets[@]}"; do
  mkdir -p "corpus/$target"
  longest=4096
  [ "$target" != http_text_fuzz ] || longest=512  # it encodes all of it several times
  begun=$SECONDS executions=0
  bound=(-runs=$least_executions)
  while [ ${#bound[@]} -gt 0 ]; do
    if ! "fuzz/$target" "${bound[@]}" -timeout=10 -rss_limit_mb=2048 -max_len=$longest -entropic=0 \
      -print_final_stats=1 "corpus/$target" "../../tests/fuzz/corpus/$target" >"$target.log" 2>&1; then
      tail -n 40 "$target.log" >&2
      echo "fuzz: $target found something; see build/fuzz/$target.log" >&2
      exit 1
    fi
    executions=$((executions + $(sed -n 's/^stat::number_of_executed_units: *//p' "$target.log")))
    left=$((seconds - (SECONDS - begun)))
    bound=()
    [ $left -le 0 ] || bound=(-max_total_time=$left)
  done
  edges=$(grep -o 'cov: [0-9]*' "$target.log" | tail -n 1)
  echo "| $target | $executions | ${edges#cov: } | $((SECONDS - begun)) |"
done
