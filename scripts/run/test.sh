#!/usr/bin/env bash
# Builds and runs every test.
#
#   scripts/run/test.sh               the release build's, then the sanitizers'
#   scripts/run/test.sh PRESET ...    of these presets only (dev, release, asan, tsan)
#
# The tests that drive whole programs run under ASan + UBSan too; tests/CMakeLists.txt says why not
# under TSan.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
presets=("$@")
[ ${#presets[@]} -gt 0 ] || presets=(release asan tsan)

failed=()
for preset in "${presets[@]}"; do
  echo "== $preset: build"
  scripts/run/build.sh "$preset"
  # Azurite, the emulator of Azure Blob Storage, comes with npm. It is one slow thread: once will do.
  leave_out=()
  if [ "$preset" != release ]; then
    leave_out=(-LE azurite)
  elif ! command -v npm >/dev/null; then
    echo "== no npm here: the tests against Azurite are left out"
    leave_out=(-LE azurite)
  else
    scripts/init/install_deps.sh chromium prometheus
  fi
  echo "== $preset: test"
  ctest --preset "$preset" --no-tests=error -j 2 "${leave_out[@]}" || failed+=("$preset")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "test: failed in ${failed[*]}" >&2
  exit 1
fi
echo "test: all passed in ${presets[*]}"
