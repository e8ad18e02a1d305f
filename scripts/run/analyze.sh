#!/usr/bin/env bash
# Static analysis with clang: builds everything with thread-safety analysis, whose findings are errors, then
# runs clang-tidy by .clang-tidy, whose findings are errors too.
#
#   scripts/run/analyze.sh [PATH ...]      clang-tidy on these sources and folders only
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/init/install_deps.sh clang clang-tidy
scripts/run/build.sh analyze
paths=("$@")
[ ${#paths[@]} -gt 0 ] || paths=(KVCommon KVService KVClient KVPlayground)
mapfile -t sources < <(find "${paths[@]}" \( -name '*.cc' -o -name '*.cpp' \) | sort)
# Tests are left out: GoogleTest's macros are much of what would be found there.
printf '%s\n' "${sources[@]}" | grep -v '_test\.cc$' |
  xargs -P "$(nproc)" -n 4 clang-tidy -p build/analyze --quiet 2> >(grep -v 'warnings generated' >&2)
echo "analyze: nothing found in ${paths[*]}"
