# Installs or upgrades KVStoreServer on this Windows machine, as an administrator: the program, a folder
# for its data that its service's account may write to, a firewall rule, and the service, which it starts.
#
#   scripts\deploy\deploy_server.ps1 [-Program FILE] [-Folder DIR] [-Data DIR] [-Port N]
#       [-Servers N] [-Remove] [-Options OPTION, ...]
#
# -Servers: how many ports, from -Port on, are opened; as many as there are NUMA nodes for --numa auto.
# -Remove: takes the service and the rule away; program and data stay.
# -Options: further options of KVStoreServer, such as '--numa', 'auto'.
[CmdletBinding()]
param(
    [string]$Program = (Join-Path $PSScriptRoot '..\..\build\windows\bin\Release\KVStoreServer.exe'),
    [string]$Folder = (Join-Path $env:ProgramFiles 'KVStore'),
    [string]$Data = (Join-Path $env:ProgramData 'KVStore'),
    [ValidateRange(1, 65535)][int]$Port = 50051,
    [ValidateRange(1, 64)][int]$Servers = 1,
    [switch]$Remove,
    [string[]]$Options = @()
)
$ErrorActionPreference = 'Stop'
$service = 'KVStoreServer'
$exe = Join-Path $Folder 'KVStoreServer.exe'

function Invoke-Checked([string]$Command, [string[]]$Arguments) {
    & $Command @Arguments
    if ($LASTEXITCODE -ne 0) { throw "$Command ended with exit code $LASTEXITCODE" }
}

# An upgrade is a removal first: the service's options are part of it.
if (Get-Service -Name $service -ErrorAction SilentlyContinue) {
    Stop-Service -Name $service
    Invoke-Checked $exe @('--service', 'remove')
}
Get-NetFirewallRule -Name $service -ErrorAction SilentlyContinue | Remove-NetFirewallRule
if ($Remove) { return }

New-Item -ItemType Directory -Force -Path $Folder, $Data | Out-Null
Copy-Item -Force -Path $Program -Destination $exe
Invoke-Checked $exe (@('--service', 'install', '--port', "$Port", '--data-dir', (Join-Path $Data 'store'),
        '--disable-metrics') + $Options)
# Its account is there once the service is.
Invoke-Checked icacls @($Data, '/grant', "NT SERVICE\${service}:(OI)(CI)M")
$ports = if ($Servers -eq 1) { "$Port" } else { "$Port-$($Port + $Servers - 1)" }
New-NetFirewallRule -Name $service -DisplayName 'KVStore server' -Direction Inbound -Action Allow `
    -Protocol TCP -LocalPort $ports -Program $exe | Out-Null
Start-Service -Name $service
Write-Output "$service runs on port $ports; its log: $(Join-Path $env:ProgramData 'KVStore\KVStoreServer.log')"
