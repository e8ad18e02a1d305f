#!/usr/bin/env bash
# As run_local.sh, over Azure Blob Storage: what --accounts or the environment names, such as
# AZURE_STORAGE_CONNECTION_STRING, or else Azurite, the emulator, which is started on its port 10000 and
# ends with the server (needs npm; its blobs are in memory).
#
#   scripts/run/run_azure.sh [options of KVStoreServer]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [[ " $* " == *" --accounts"* ]] || compgen -v AZURE_ >/dev/null; then
  exec scripts/run/run_local.sh --storage azure "$@"
fi
azurite=$(scripts/init/install_azurite.sh)
node "$azurite" --silent --inMemoryPersistence --skipApiVersionCheck --disableTelemetry --blobPort 10000 &
emulator=$!
trap 'kill "$emulator" 2>/dev/null || true' EXIT
echo "run_azure: clients say --storage http://127.0.0.1:10000/devstoreaccount1"
export AZURE_STORAGE_CONNECTION_STRING=UseDevelopmentStorage=true
scripts/run/run_local.sh --storage azure "$@"
