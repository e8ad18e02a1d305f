# Runs the server of NUMA node 1 on the embedded store, in the foreground, on port 50052; Ctrl-C stops it.
#
#   scripts\run\run_node1.ps1 [options of KVStoreServer, which win]
$ErrorActionPreference = 'Stop'
$top = (Resolve-Path (Join-Path $PSScriptRoot '..\..')).Path
& (Join-Path $top 'build\windows\bin\Release\KVStoreServer.exe') --numa-node 1 --port 50052 `
    --data-dir (Join-Path $top 'build\store\node1') --disable-metrics @args
exit $LASTEXITCODE
