# Builds KVStore on Windows x64: Visual Studio 2022 (C++), CMake 3.23 or later and vcpkg, whose folder
# VCPKG_ROOT names. vcpkg builds the libraries the first time, which takes long. The programs are in
# build\windows\bin\Release.
#
#   scripts\init\build_windows.ps1 [-Test]
[CmdletBinding()]
param([switch]$Test)
$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '..\..')

function Invoke-Checked([string]$Program, [string[]]$Arguments) {
    & $Program @Arguments
    if ($LASTEXITCODE -ne 0) { throw "$Program ended with exit code $LASTEXITCODE" }
}

if (-not $env:VCPKG_ROOT) { throw 'set VCPKG_ROOT to the folder of vcpkg' }
Invoke-Checked cmake @('--preset', 'windows')
Invoke-Checked cmake @('--build', '--preset', 'windows', '-j')
if ($Test) { Invoke-Checked ctest @('--preset', 'windows') }
