#!/usr/bin/env bash
# Installs or upgrades kvstore-server on hosts over ssh, one after the other: a host follows only when the
# one before it is ready. Stops at the first that is not; those behind it stay as they were.
#
#   scripts/deploy/deploy_server.sh [--dry-run] [--config FILE] HOST ...
#
# HOST: as ssh takes it. FILE becomes /etc/kvstore/kvstore.toml; without it what is there stays.
# --dry-run: say what would be done. Build the packages first: scripts/run/package.sh.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
config='' hosts=()
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry_run=true ;;
    --config) config=$(file "${2:-}"); shift ;;
    -h | --help) usage 0 ;;
    -*) wrong "unknown option $1" ;;
    *) hosts+=("$1") ;;
  esac
  shift
done
[ ${#hosts[@]} -gt 0 ] || usage 2 >&2
package=$(deb kvstore-server)

for host in "${hosts[@]}"; do
  echo "$host: installing $(basename "$package")"
  copy "$host" "$package"
  if [ -n "$config" ]; then
    run scp -q "${ssh_options[@]}" "$config" "$host:$there/kvstore.toml"
    # Before the package, which keeps it: so the server never runs with another.
    remote "$host" "$there" <<'END'
install -D -o root -g root -m 0644 "$1/kvstore.toml" /etc/kvstore/kvstore.toml
END
  fi
  install_debs "$host" "$there"
  remote "$host" "$there" <<'END'
rm -rf "$1"
systemctl restart kvstore
option() { sed -n "s/^ *$1 *= *\"\{0,1\}\([^\"# ]*\).*/\1/p" /etc/kvstore/kvstore.toml | tail -1; }
port=$(option port) metrics=$(option metrics-port)
# The server says by itself whether it is ready; without a metrics port, that it can be connected to.
ready() {
  local status
  [ "${metrics:-0}" != 0 ] || { (: <>"/dev/tcp/127.0.0.1/${port:-50051}") 2>/dev/null; return; }
  status=$( (exec 3<>"/dev/tcp/127.0.0.1/$metrics" && printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3 &&
    head -n 1 <&3) 2>/dev/null) || return 1
  case $status in
    *' 200 '*) ;;
    *' 404 '*) (: <>"/dev/tcp/127.0.0.1/${port:-50051}") 2>/dev/null ;;  # a version that does not say
    *) return 1 ;;
  esac
}
for ((i = 0; i < 240; ++i)); do
  ! ready || exit 0
  systemctl is-active --quiet kvstore || [ "$(systemctl is-active kvstore)" = activating ] || break
  sleep 0.5
done
echo "not ready; its log:" >&2
journalctl --no-pager -n 20 -u kvstore >&2
exit 1
END
  $dry_run || echo "$host: ready"
done
