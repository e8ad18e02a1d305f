#!/usr/bin/env bash
# Has scripts/deploy/ deploy the packages that scripts/run/package.sh built over a real ssh to an empty
# Debian, which systemd-nspawn boots in a network of its own. As root.
#
#   scripts/run/test_deploy.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ "$(id -u)" -eq 0 ] || { echo "test_deploy: run as root" >&2; exit 1; }
[ -d build/package/debs ] || { echo "test_deploy: run scripts/run/package.sh first" >&2; exit 1; }
scripts/init/install_deps.sh openssh-client

work=$(mktemp -d)
root=$work/root
trap 'rm -rf --one-file-system "$work"' EXIT
source scripts/run/empty_debian.sh
make_empty_debian
mkdir "$root/debs" && cp build/package/debs/kvstore-{server,tools}_*.deb "$root/debs/"
within sh -c 'export DEBIAN_FRONTEND=noninteractive; exec >/var/log/prepare.log 2>&1
  apt-get install -y --no-install-recommends openssh-server sudo &&
  apt-get install -y --no-install-recommends --download-only /debs/*.deb' ||
  { tail "$root/var/log/prepare.log"; exit 1; }
# Two users as hosts have them: root, and one who may sudo.
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
install -d -m 0700 "$root/root/.ssh" && cp "$work/key.pub" "$root/root/.ssh/authorized_keys"
within sh -ec 'useradd --create-home admin; echo "admin ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/admin
  cp -r /root/.ssh /home/admin/ && chown -R admin: /home/admin'
cat >"$work/lib.sh" <<'END'
ok() { echo "ok: $*"; }
fail() { echo "FAILED: $*"; exit 1; }
# Until the command succeeds, for a minute.
await() {
  local i
  for ((i = 0; i < 300; ++i)); do
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.2
  done
  fail "never: $*"
}
END

export work root
export SSH_OPTIONS="-i $work/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
# What it starts ends with it, however it ends: all of it is in a namespace of processes.
unshare --net --pid --fork --kill-child --mount-proc bash -euo pipefail -c '
  source "$work/lib.sh"
  ip link set lo up
  systemd-nspawn --quiet -D "$root" --boot --register=no --keep-unit --resolv-conf=off \
    >"$work/boot.log" 2>&1 </dev/null &
  machine=$!
  read -ra options <<<"$SSH_OPTIONS"
  await ssh "${options[@]}" root@127.0.0.1 true
  admin() { ssh "${options[@]}" root@127.0.0.1 "$@"; }

  scripts/deploy/deploy_all.sh --dry-run --servers root@127.0.0.1 --clients admin@127.0.0.1 >"$work/log"
  admin "! dpkg -s kvstore-server" >/dev/null 2>&1 || fail "a dry run installed something"
  ok "a dry run does nothing"

  scripts/deploy/deploy_all.sh --servers root@127.0.0.1 --clients admin@127.0.0.1 >"$work/log" 2>&1 ||
    { cat "$work/log"; fail "deploy_all.sh"; }
  grep -q "^mismatches        0" "$work/log"
  admin systemctl is-active --quiet kvstore
  [ -z "$(admin ls -d "/tmp/kvstore-deploy.*" 2>/dev/null)" ] || fail "files were left behind"
  ok "servers and clients are installed, as root and through sudo, and every byte is right"

  sed "s/^port = .*/port = 50062/" packaging/kvstore.toml >"$work/kv.toml"
  (cd "$work" && "$OLDPWD/scripts/deploy/deploy_all.sh" --config kv.toml --servers admin@127.0.0.1 \
    --clients root@127.0.0.1) >"$work/log" 2>&1 || { cat "$work/log"; fail "with a configuration"; }
  grep -q "^mismatches        0" "$work/log"
  admin grep -q "^port.*50062" /etc/kvstore/kvstore.toml
  ok "a configuration is put there, and served"

  echo "prot = 1" >"$work/bad.toml"
  ! scripts/deploy/deploy_server.sh --config "$work/bad.toml" root@127.0.0.1 nobody@192.0.2.1 \
    >"$work/log" 2>&1 || fail "a server that does not start was deployed"
  grep -q prot "$work/log"
  ! grep -q 192.0.2.1 "$work/log" || fail "it went on to the next host"
  ok "a server that does not start is told with its log, and ends the deployment"
  admin poweroff >/dev/null 2>&1 || true
  wait "$machine" || true
'
