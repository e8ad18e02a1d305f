# Runs a server for each NUMA node, on ports from 50051 on, in the foreground, and starts those again
# that end by themselves; Ctrl-C stops them all.
#
#   scripts\run\run_both.ps1 [options of KVStoreServer, which win]
$ErrorActionPreference = 'Stop'
$top = (Resolve-Path (Join-Path $PSScriptRoot '..\..')).Path
& (Join-Path $top 'build\windows\bin\Release\KVStoreServer.exe') --numa auto --port 50051 `
    --data-dir (Join-Path $top 'build\store') --disable-metrics @args
exit $LASTEXITCODE
