#!/usr/bin/env bash
# Builds and runs every test.
#
#   scripts/run/test.sh               the release build's, then the sanitizers'
#   scripts/run/test.sh PRESET ...    of these presets only (dev, release, asan, tsan)
#
# Under the sanitizers the tests that drive whole programs run too, except those that only measure
# what the release build already did.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
presets=("$@")
[ ${#presets[@]} -gt 0 ] || presets=(release asan tsan)

failed=()
for preset in "${presets[@]}"; do
  echo "== $preset: build"
  scripts/run/build.sh "$preset"
  echo "== $preset: test"
  ctest --preset "$preset" --no-tests=error -j 2 || failed+=("$preset")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "test: failed in ${failed[*]}" >&2
  exit 1
fi
echo "test: all passed in ${presets[*]}"
