#!/usr/bin/env bash
# The part of scripts/run/test_package.sh that runs within the system that it made.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
state=/var/lib/kvstore conf=/etc/kvstore/kvstore.toml
systemd=false
[ ! -d /run/systemd/system ] || systemd=true

ok() { echo "ok: $*"; }
fail() {
  echo "FAILED: $*"
  ! $systemd || journalctl --no-pager -n 40 -u 'kvstore*'
  [ ! -f /tmp/server.log ] || tail -20 /tmp/server.log
  exit 1
}
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

apt() { apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confdef \
  -o Dpkg::Options::=--force-confold "$@" >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; return 1; }; }
# Until the command succeeds, for half a minute.
await() {
  local i
  for ((i = 0; i < 150; ++i)); do
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.2
  done
  fail "never: $*"
}
listens() { (: <>"/dev/tcp/127.0.0.1/${1:-50051}"); }
silent() { ! listens "$@"; }
pid() {
  if $systemd; then systemctl show -P MainPID "${1:-kvstore}"; else cat /tmp/server.pid; fi
}
start() {
  if $systemd; then
    systemctl start kvstore
  else
    install -d -o kvstore -g kvstore -m 0750 $state /run/kvstore
    setpriv --reuid kvstore --regid kvstore --clear-groups --no-new-privs \
      KVStoreServer --config $conf >>/tmp/server.log 2>&1 &
    echo $! >/tmp/server.pid
  fi
}
stop() {
  if $systemd; then
    systemctl stop kvstore
  else
    kill -TERM "$(pid)" && wait "$(pid)"
  fi
}
play() {  # least hit ratio of the first iteration, further options
  local least=$1
  shift
  KVPlayground /usr/share/kvstore/conversation_tokens.json 2 2 --buffer-bytes 65536 \
    --json /tmp/report.json --html /tmp/report.html "$@" >/tmp/play.log 2>&1 || { cat /tmp/play.log; return 1; }
  grep -q '"mismatches": 0,' /tmp/report.json
  awk -v least="$least" '/"iterations": \[/ { inside = 1 }
    inside && /hit_ratio/ { gsub(/[^0-9.]/, "", $2); exit !($2 >= least) }' /tmp/report.json
}

if $systemd; then
  ok "booted by systemd $(systemctl --version | sed -n '1s/systemd \([^ ]*\).*/\1/p')"
fi

apt install /test/old/*.deb
getent passwd kvstore >/dev/null
[ -s $conf ] && [ -s /etc/kvstore/node.toml ]
# Manual pages may be left out on small systems; what is there is whole.
[ -z "$(dpkg --verify kvstore-server kvstore-tools | grep -v missing || true)" ]
ok "installs: user, configuration, programs"

if $systemd; then
  await systemctl is-active kvstore
  systemctl is-enabled kvstore >/dev/null
  ok "the service is enabled and started"
else
  start
fi
await listens
play 0.5
kvctl stats | grep -q 'state *serving'
[ "$(kvctl --json inspect localaccount/kvstore/playground --tokens - <<<"[$(seq -s, 1 128)]")" = '{"asked_blocks":1,"blocks":[]}' ]
ok "kvctl finds the service"
ok "serves: $(grep -c . /tmp/play.log) lines of report, 0 mismatches"
status=/proc/$(pid)/status
[ "$(stat -c %U "/proc/$(pid)")" = kvstore ]
grep -q 'NoNewPrivs:.*1' "$status"
if $systemd; then
  grep -q 'Seccomp:.*2' "$status"
  grep -q 'CapBnd:.*0000000000000000' "$status"
  [ "$(stat -c '%U %a' $state)" = "kvstore 750" ]
  ok "runs as kvstore, with no capability, under seccomp"
  if [ "$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null || echo 2)" = 0 ]; then
    ls -l "/proc/$(pid)/fd" >/tmp/fds
    grep -q io_uring /tmp/fds
    ok "its sandbox lets io_uring through"
  fi
  systemctl reload kvstore
  play 1
  ok "reloads"
  old=$(pid)
  kill -KILL "$old"
  changed() { [ "$(pid)" != "$old" ] && [ "$(pid)" != 0 ]; }
  await changed
  await listens
  play 1
  ok "comes back after kill -9, with every block"
fi

echo '# Changed by the administrator.' >>$conf
before=$(pid)
$systemd || stop
apt install /test/new/*.deb
[ "$(dpkg-query -W -f '${Version}' kvstore-server)" = 999-1 ]
grep -q 'by the administrator' $conf
grep -q 'says more' $conf.dpkg-dist
$systemd || start
await listens
[ "$(pid)" != "$before" ]
play 1
ok "upgrades: restarted, every block still there, the changed configuration kept"

if $systemd; then
  systemctl start kvstore@0
  await listens
  [ "$(systemctl is-active kvstore || true)" != active ]
  grep -q 'Seccomp:.*2' "/proc/$(pid kvstore@0)/status"
  play 0.5
  [ "$(stat -c %U $state/node0)" = kvstore ]
  listens 9464
  systemctl stop kvstore@0
  systemctl start kvstore
  await listens
  ok "kvstore@0 serves node 0 in the other's place, with metrics"
fi

stop
await silent
if $systemd; then
  [ "$(systemctl show -P Result kvstore)" = success ]
  journalctl --no-pager -u kvstore | grep -q ' totals '
  systemctl start kvstore
  await listens
else
  grep -q ' totals ' /tmp/server.log
fi
ok "stops with its work done"

apt remove kvstore-server
await silent
[ ! -e /usr/bin/KVStoreServer ] && [ -s $conf ] && [ -d $state/segments ]
ok "removed: not running, configuration and blocks kept"
echo secret >/etc/kvstore/server.key
apt purge kvstore-server kvstore-tools
[ ! -e $conf ] && [ ! -e $state ] && [ -s /etc/kvstore/server.key ]
getent passwd kvstore >/dev/null
[ -z "$(find / -xdev -iname '*kvstore*' -not -path '/test/*' -not -path '/proc/*' \
  -not -path '/etc/kvstore' -not -path '/tmp/*' -not -path '/var/log/*' | tee /tmp/left)" ] ||
  fail "left behind: $(cat /tmp/left)"
ok "purged: nothing left but the administrator's own files and the user"
if $systemd; then
  echo "not checked: a machine that boots from disk, several NUMA nodes"
else
  echo "not checked: systemd as process 1 (the units, their sandbox, start at boot, restart after a" \
    "crash, restart by an upgrade), several NUMA nodes"
fi
