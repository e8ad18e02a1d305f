#!/usr/bin/env bash
# The API reference of the client library, from its headers: build/api/html/index.html. Fails on any
# warning, which a public name without a comment is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/init/install_deps.sh doxygen
mkdir -p build/api
doxygen docs/api/Doxyfile
echo "api_docs: build/api/html/index.html"
