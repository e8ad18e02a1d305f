#!/usr/bin/env bash
# Installs Azurite, Microsoft's emulator of Azure Storage, for the tests with the ctest label
# "azurite". It goes into a cache directory outside the source tree and nowhere else; removing that
# directory uninstalls it. Prints the path of its blob server. Needs node and npm.
set -euo pipefail

version=3.35.0
prefix="${KVSTORE_AZURITE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/kvstore/azurite}"
main="$prefix/node_modules/azurite/dist/src/blob/main.js"

if [[ ! -f "$main" ]]; then
  command -v npm >/dev/null || { echo "install_azurite.sh: npm is not installed" >&2; exit 1; }
  mkdir -p "$prefix"
  # Tests that start together must not install into each other's files.
  exec 9>"$prefix/.lock"
  if command -v flock >/dev/null; then flock 9; fi
fi
if [[ ! -f "$main" ]]; then
  npm install --no-save --no-audit --no-fund --loglevel=error --prefix "$prefix" \
    "azurite@$version" >&2
fi
echo "$main"
