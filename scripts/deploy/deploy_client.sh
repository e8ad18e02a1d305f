#!/usr/bin/env bash
# Installs or upgrades kvstore-tools on hosts over ssh.
#
#   scripts/deploy/deploy_client.sh [--dry-run] [--dev] HOST ...
#
# --dev: libkvstore-dev as well. --dry-run: say what would be done. Build the packages first:
# scripts/run/package.sh.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
packages=("$(deb kvstore-tools)")
hosts=()
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry_run=true ;;
    --dev) packages+=("$(deb libkvstore-dev)") ;;
    -h | --help) usage 0 ;;
    -*) wrong "unknown option $1" ;;
    *) hosts+=("$1") ;;
  esac
  shift
done
[ ${#hosts[@]} -gt 0 ] || usage 2 >&2

for host in "${hosts[@]}"; do
  echo "$host: installing ${packages[*]##*/}"
  copy "$host" "${packages[@]}"
  install_debs "$host" "$there"
  remote "$host" "$there" <<'END'
rm -rf "$1"
KVPlayground --help >/dev/null
END
  $dry_run || echo "$host: installed"
done
