#!/usr/bin/env bash
# Installs what building and testing needs, from Debian's own packages (Debian 12). As root or
# through sudo; does nothing where all of it is there.
#
#   scripts/init/install_deps.sh [further packages]
set -euo pipefail

packages=(
  # build
  g++ cmake ninja-build ccache pkg-config ca-certificates git
  # libraries
  libgrpc++-dev libgrpc-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev
  libabsl-dev libssl-dev libisal-dev librocksdb-dev
  libspdlog-dev nlohmann-json3-dev libcli11-dev libcurl4-openssl-dev libpugixml-dev
  prometheus-cpp-dev libcivetweb-dev liburing-dev libnuma-dev
  # tests
  libgtest-dev libgmock-dev openssl iproute2 python3 python3-grpcio python3-hpack python3-protobuf python3-yaml
  "$@"
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
    missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

command -v apt-get >/dev/null || {
  echo "install_deps: this is no Debian; install the equivalents of: ${missing[*]}" >&2
  exit 1
}
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "install_deps: run as root, or install sudo; missing: ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi
echo "install_deps: installing ${missing[*]}"
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -q --no-install-recommends "${missing[@]}"
