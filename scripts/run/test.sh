#!/usr/bin/env bash
# Builds and runs every test.
#
#   scripts/run/test.sh               the release build's, then the sanitizers'
#   scripts/run/test.sh PRESET ...    of these presets only (dev, release, asan, tsan)
#
# The tests that drive whole programs run under ASan + UBSan too; tests/CMakeLists.txt says why not
# under TSan. Tests wait half of their time, so that the next preset is built meanwhile, with the
# lowest priority.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
presets=("$@")
[ ${#presets[@]} -gt 0 ] || presets=(release asan tsan)

build_log=$(mktemp)
building=
finish() {
  [ -z "$building" ] || kill -- "-$building" 2>/dev/null || true
  rm -f "$build_log"
}
trap finish EXIT
start_build() {  # preset
  set -m  # a process group of its own, which finish can end whole
  nice -n 19 scripts/run/build.sh "$1" </dev/null >"$build_log" 2>&1 &
  building=$!
  set +m
}
end_build() {
  local status=0
  wait "$building" || status=$?
  building=
  cat "$build_log"
  return $status
}

failed=()
for i in "${!presets[@]}"; do
  preset=${presets[i]}
  echo "== $preset: build"
  if [ -n "$building" ]; then end_build; else scripts/run/build.sh "$preset"; fi
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
  [ $((i + 1)) -eq ${#presets[@]} ] || start_build "${presets[i + 1]}"
  echo "== $preset: test"
  ctest --preset "$preset" --no-tests=error -j 2 "${leave_out[@]}" || failed+=("$preset")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "test: failed in ${failed[*]}" >&2
  exit 1
fi
echo "test: all passed in ${presets[*]}"
