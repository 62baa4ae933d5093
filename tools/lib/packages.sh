# tools/lib/packages.sh: the Debian packages that Partywall is built, tested and shown with. Sourced by
# tools/lib/ready.sh. Never starts a service that a package brings, never names where packages come from.
# shellcheck shell=bash disable=SC2154  # ready_root is ready.sh's

# shellcheck disable=SC2034  # for those who source this
package_sets=(build bpf libraries tests demo)
declare -A packages=(
  [build]="cmake ninja-build g++ pkg-config python3 linux-libc-dev dpkg-dev"
  [bpf]="clang-14 llvm-14 bpftool libbpf-dev libelf-dev zlib1g-dev"
  [libraries]="libyaml-dev libcli11-dev nlohmann-json3-dev libspdlog-dev libfmt-dev libevent-dev
    libsystemd-dev libmnl-dev prometheus-cpp-dev libcurl4-openssl-dev libssl-dev"
  [tests]="libgtest-dev libgmock-dev libbenchmark-dev python3-yaml"
  [demo]="iproute2 util-linux procps ethtool nftables curl iperf3 redis-server redis-tools
    bind9-dnsutils netcat-openbsd tmux prometheus"
  [vm]="qemu-system-x86 busybox-static xz-utils debian-archive-keyring"
  [kubernetes]="etcd-server runc containernetworking-plugins conntrack nftables iproute2 openssl
    kmod curl python3-venv ca-certificates"
  [arm64]="g++-aarch64-linux-gnu qemu-system-arm"
  [lint]="clang-format-14 clang-tidy-14 shellcheck"
)

# Packages of these sets that would run at the next start of the machine.
package_services="prometheus redis-server etcd-server"
# Package -> its service, where that has another name.
declare -A service_names=([etcd-server]=etcd)

# The packages among the arguments that are not installed, one a line.
missing_packages() {
  local installed

  installed=" $(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null |
    sed -n 's/^[hi]i *//p' | tr '\n' ' ')"
  for package in "$@"; do
    [[ $installed == *" $package "* ]] || echo "$package"
  done
}

# install_packages SET...: what is missing of these sets. Needs root only when something is.
install_packages() {
  local set log missing=() number=0

  command -v dpkg-query >/dev/null ||
    die "this is not a Debian system (no dpkg); Partywall is built on Debian 12"
  for set in "$@"; do
    # shellcheck disable=SC2086  # a list of words
    mapfile -t -O ${#missing[@]} missing < <(missing_packages ${packages[$set]})
  done
  if [ ${#missing[@]} = 0 ]; then
    say "packages: nothing to install"
    return
  fi
  command -v apt-get >/dev/null || die "no apt-get here; install by hand: ${missing[*]}"
  [ "$(id -u)" = 0 ] ||
    die "${#missing[@]} packages are missing and only root can install them; run: sudo tools/setup" \
      "(missing: ${missing[*]})"

  log=$ready_root/build/setup.log
  mkdir -p "$ready_root/build" && : >"$log"
  say "packages: ${#missing[@]} to install"
  run_apt "package lists" "$log" update || die "apt-get update failed"
  for set in "$@"; do
    number=$((number + 1))
    # shellcheck disable=SC2086
    mapfile -t missing < <(missing_packages ${packages[$set]})
    if [ ${#missing[@]} = 0 ]; then continue; fi
    say "packages [$number/$#] $set: ${missing[*]}"
    without_services run_apt "$set" "$log" install --no-install-recommends "${missing[@]}" ||
      die "installing the packages for $set failed; apt-get's words are above"
  done
}

# run_apt LABEL LOG ARGS...: apt-get with progress; its last words when it fails.
run_apt() {
  local label=$1 log=$2
  shift 2

  # An earlier run may have been interrupted half-way through dpkg.
  if [ "$1" = install ] && [ -n "$(dpkg --audit 2>&1)" ]; then
    DEBIAN_FRONTEND=noninteractive dpkg --configure -a >>"$log" 2>&1 || true
  fi
  if DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
    -o DPkg::Options::=--force-confold -o APT::Status-Fd=3 "$@" 3>&1 >>"$log" 2>&1 </dev/null |
    show_progress "$label" /dev/null; then
    return 0
  fi
  tail -n 20 "$log" >&2
  return 1
}

# without_services COMMAND...: packages configured by COMMAND do not start their services, now or
# at the next start of the machine. policy-rc.d is Debian's switch for that; somebody else's stays as it is.
without_services() (
  policy=${READY_POLICY_RC:-/usr/sbin/policy-rc.d}
  mark="# made by partywall tools/setup, which takes it away again"
  # shellcheck disable=SC2086
  new=$(missing_packages $package_services)

  # Ours may lie here from a run that was killed.
  if [ ! -e "$policy" ] || grep -qsxF "$mark" "$policy"; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
    chmod 755 "$policy"
  fi
  "$@" || exit 1
  for service in $new; do
    [ -z "$(missing_packages "$service")" ] || continue
    service=${service_names[$service]:-$service}
    deb-systemd-helper disable "$service.service" >/dev/null 2>&1 || true
    update-rc.d "$service" disable >/dev/null 2>&1 || true
    say "  service $service stays off"
  done
)
