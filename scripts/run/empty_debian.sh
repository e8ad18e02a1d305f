# shellcheck shell=bash
# An empty Debian of this machine's release in $root, for tests of what is installed; for `source`, from
# the repository's root, as root.
scripts/init/install_deps.sh debootstrap systemd-container

# Runs a command in the system, with mounts and processes that end with it; `--net`: without a network.
within() {
  local net=()
  [ "$1" != --net ] || { net=(--net); shift; }
  unshare --mount --pid --fork "${net[@]}" /bin/sh -ec 'root=$1; shift
    mount -t proc none "$root/proc"; mount --rbind /sys "$root/sys"; mount --rbind /dev "$root/dev"
    ip link set lo up; exec chroot "$root" "$@"' within "$root" "$@"
}

# Makes it by debootstrap, from the mirror that apt uses here, and keeps it in build/package/ for the next
# time. $work is a directory for logs.
make_empty_debian() {
  local suite base mirror
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  base=$PWD/build/package/$suite.tar
  if [ ! -f "$base" ]; then
    mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' "Created-By: Packages" |
      awk -v suite="$suite" '$2 == suite { print $1; exit }')
    debootstrap --variant=minbase --include=systemd,systemd-sysv,ca-certificates \
      "$suite" "$root" "$mirror" >"$work/debootstrap.log" || { tail "$work/debootstrap.log"; exit 1; }
    rm "$root/etc/apt/sources.list" && cp -r /etc/apt/sources.list* "$root/etc/apt/"
    apt-config dump | grep -E '^Acquire::https?::' >"$root/etc/apt/apt.conf.d/90host" || true
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    within apt-get update -q >/dev/null
    tar -C "$root" -cf "$base.part" . && mv "$base.part" "$base"
  else
    mkdir "$root" && tar -C "$root" -xf "$base"
  fi

  # As the installer would.
  echo "127.0.0.1 localhost" >"$root/etc/hosts"
}
