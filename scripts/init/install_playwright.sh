#!/usr/bin/env bash
# Installs playwright-core, which drives Debian's Chromium in tests, from npm into a directory of its own
# (KVSTORE_PLAYWRIGHT_DIR, else in the user's cache); deleting that directory uninstalls it. Prints the
# path of the module. Needs node and npm.
set -euo pipefail

version=1.48.2
prefix="${KVSTORE_PLAYWRIGHT_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/kvstore/playwright}"
main="$prefix/node_modules/playwright-core/index.mjs"

if [[ ! -f "$main" ]]; then
  command -v npm >/dev/null || { echo "install_playwright.sh: npm is not installed" >&2; exit 1; }
  mkdir -p "$prefix"
  # Tests that start together must not install into each other's files.
  exec 9>"$prefix/.lock"
  if command -v flock >/dev/null; then flock 9; fi
fi
if [[ ! -f "$main" ]]; then
  npm install --no-save --no-audit --no-fund --loglevel=error --ignore-scripts --prefix "$prefix" \
    "playwright-core@$version" >&2
fi
echo "$main"
