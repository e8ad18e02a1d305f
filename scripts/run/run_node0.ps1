# Runs the server of NUMA node 0 on the embedded store, in the foreground, on port 50051; Ctrl-C stops it.
#
#   scripts\run\run_node0.ps1 [options of KVStoreServer, which win]
$ErrorActionPreference = 'Stop'
$top = (Resolve-Path (Join-Path $PSScriptRoot '..\..')).Path
& (Join-Path $top 'build\windows\bin\Release\KVStoreServer.exe') --numa-node 0 --port 50051 `
    --data-dir (Join-Path $top 'build\store\node0') --disable-metrics @args
exit $LASTEXITCODE
