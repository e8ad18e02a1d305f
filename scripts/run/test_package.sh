#!/usr/bin/env bash
# Installs the packages that scripts/run/package.sh built into an empty Debian system, which
# debootstrap makes from this machine's own mirror, and lives through them: install, serve, upgrade,
# crash, remove, purge. As root. Boots the system with its own systemd where systemd-nspawn can;
# else in a chroot, and says what that leaves out. Without any network but its own loopback.
#
#   scripts/run/test_package.sh [--chroot] [--dev]
#
# --chroot: do not try to boot. --dev: build a program with libkvstore-dev as well (more downloads).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
boot=true dev=false
for option in "$@"; do
  case $option in
    --chroot) boot=false ;;
    --dev) dev=true ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
[ "$(id -u)" -eq 0 ] || { echo "test_package: run as root" >&2; exit 1; }
debs=$PWD/build/package/debs
[ -d "$debs" ] || { echo "test_package: run scripts/run/package.sh first" >&2; exit 1; }

work=$(mktemp -d)
root=$work/root
trap 'rm -rf --one-file-system "$work"' EXIT
source scripts/run/empty_debian.sh
make_empty_debian

mkdir -p "$root/test/old" "$root/test/new" "$root/test/results"
cp "$debs"/kvstore-{server,tools}_*.deb "$root/test/old/"
# The upgrade: a later version whose configuration has changed, too.
dpkg-deb -R "$debs"/kvstore-server_*.deb "$work/next"
sed -i 's/^Version: .*/Version: 999-1/' "$work/next/DEBIAN/control"
echo '# A new version says more.' >>"$work/next/etc/kvstore/kvstore.toml"
dpkg-deb -b "$work/next" "$root/test/new/kvstore-server_999-1.deb" >/dev/null
cp scripts/run/test_package_inside.sh "$root/test/inside.sh"

within sh -c 'DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
  --download-only /test/old/*.deb' >"$work/download.log" 2>&1 || { tail "$work/download.log"; exit 1; }
if $dev; then
  cp "$debs"/libkvstore-dev_*.deb "$root/test/" && cp -r tests/package "$root/test/program"
  within sh -ec 'export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q --no-install-recommends /test/libkvstore-dev_*.deb g++ cmake make >/dev/null 2>&1
    cmake -S /test/program -B /tmp/program >/dev/null && cmake --build /tmp/program -j2
    /tmp/program/user && echo "ok: a program built with libkvstore-dev runs"
    apt-get purge -y -q libkvstore-dev >/dev/null'
fi

if $boot; then
  # A unit of its own runs the test once the system is up, and turns it off.
  cat >"$root/etc/systemd/system/test.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c '/bin/bash /test/inside.sh >/test/results/log 2>&1; echo $? >/test/results/code; systemctl poweroff --no-block'
UNIT
  mkdir -p "$root/etc/systemd/system/default.target.wants"
  ln -s ../test.service "$root/etc/systemd/system/default.target.wants/test.service"
  # In a namespace of processes: none outlives it.
  unshare --pid --fork --kill-child --mount-proc timeout -k 10 600 systemd-nspawn --quiet -D "$root" --boot --register=no --keep-unit \
    --private-network --resolv-conf=off >"$work/boot.log" 2>&1 </dev/null || true
  if [ ! -e "$root/test/results/log" ]; then
    echo "test_package: systemd-nspawn cannot boot it here, so in a chroot: $(tail -1 "$work/boot.log")"
    boot=false
  elif [ ! -s "$root/test/results/code" ]; then
    cat "$root/test/results/log"
    echo "test_package: it did not end within 10 minutes" >&2
    exit 1
  fi
fi
if ! $boot; then
  within --net /bin/bash -c '
    bash /test/inside.sh >/test/results/log 2>&1; echo $? >/test/results/code' || true
fi
cat "$root/test/results/log"
exit "$(cat "$root/test/results/code")"
