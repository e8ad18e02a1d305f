#!/usr/bin/env bash
# Builds the Debian packages kvstore-server, libkvstore-dev and kvstore-tools into
# build/package/debs/ and has lintian look at them. docs/PACKAGES.md says what they do.
#
#   scripts/run/package.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/init/install_deps.sh help2man dpkg-dev lintian
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
# The same sources give the same packages.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH
cmake --preset package -D KV_PACKAGE_DATE="$(date -R -u -d "@$SOURCE_DATE_EPOCH")" >/dev/null
cmake --build --preset package
rm -rf build/package/debs
(cd build/package && cpack)
lintian --allow-root --fail-on error build/package/debs/*.deb
ls -l build/package/debs/*.deb
