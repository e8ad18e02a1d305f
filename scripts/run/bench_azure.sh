#!/usr/bin/env bash
# Measures our HTTP client, which Azure Blob Storage is reached through, side by side with
# `curl --parallel` and Debian's Azure SDK for Python: against nginx, which is faster than any of
# them, and against Azurite, which is slower. Prints a table; writes azure_http.json to a folder.
#
#   scripts/run/bench_azure.sh [--quick] [--output FOLDER (build/bench)]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scripts/init/install_deps.sh nginx-light curl python3-azure-storage
scripts/run/build.sh release http_client_benchmark
exec /usr/bin/python3 -B benchmarks/azure/bench_http.py \
  --client build/release/bin/http_client_benchmark "$@"
