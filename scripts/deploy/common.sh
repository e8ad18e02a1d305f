# shellcheck shell=bash
# What the deploy scripts share; for `source`. SSH_OPTIONS: further options for ssh and scp, by spaces.
# Users there are root, or may sudo without a password.
set -euo pipefail
called_in=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
debs=build/package/debs
dry_run=false
read -ra ssh_options <<<"-o BatchMode=yes -o ConnectTimeout=10 ${SSH_OPTIONS:-}"

# The comment at the head of the script that was called.
usage() {
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
  exit "$1"
}
wrong() {
  echo "$(basename "$0"): $*" >&2
  exit 2
}
# A file's name as it was given where the script was called, from here on.
file() {
  local name=$1
  [[ $name == /* ]] || name=$called_in/$name
  [ -f "$name" ] || wrong "no such file: $1"
  echo "$name"
}
# The one package of that name that scripts/run/package.sh built.
deb() {
  local found=("$debs/$1"_*.deb)
  [ -f "${found[0]}" ] || wrong "no $1 in $debs: run scripts/run/package.sh first"
  [ ${#found[@]} -eq 1 ] || wrong "several $1 in $debs: ${found[*]}"
  echo "${found[0]}"
}
# Runs the command, or says what it would be.
run() {
  if $dry_run; then
    printf '+'; printf ' %q' "$@"; echo
  else
    "$@"
  fi
}
# The words for any shell that a user there may have.
quoted() {
  local word
  for word in "$@"; do
    printf "'%s' " "${word//\'/\'\\\'\'}"
  done
}
# Runs standard input as root on the host, with these arguments; stops at its first failure.
remote() {
  local host=$1 script
  shift
  script="set -euo pipefail"$'\n'$(cat)
  if $dry_run; then
    echo "+ on $host as root, with arguments ($*):"
    sed 's/^/    /' <<<"$script"
  else
    ssh "${ssh_options[@]}" "$host" "$(quoted \
      sh -c 'if [ "$(id -u)" -eq 0 ]; then exec "$@"; else exec sudo -n "$@"; fi' as_root \
      bash -c "$script" remote "$@")"
  fi
}
# Copies files into a directory that the host makes for them, and leaves its name in `$there`.
copy() {
  local host=$1
  shift
  there=/tmp/kvstore-deploy.XXXXXX
  $dry_run || there=$(ssh "${ssh_options[@]}" "$host" mktemp -d "$there")
  run scp -q "${ssh_options[@]}" "$@" "$host:$there/"
}
# Installs all packages in the directory; configuration that was changed there stays as it is.
install_debs() {
  remote "$1" "$2" <<'END'
export DEBIAN_FRONTEND=noninteractive
chmod -R a+rX "$1"
apt-get update -q >/dev/null
apt-get install -y -q --no-install-recommends -o Dpkg::Options::=--force-confdef \
  -o Dpkg::Options::=--force-confold "$1"/*.deb >"$1/log" 2>&1 || { cat "$1/log" >&2; exit 1; }
END
}
