# tools/lib/vm_root.sh: a Debian of another architecture in the user's cache: what the preset arm64 is linked against,
# and the root of its virtual machine. Unpacked, never entered here. Sourced after vm_kernels.sh.
# shellcheck shell=bash disable=SC2154  # packages is packages.sh's, vm_cache is vm_kernels.sh's

# Beside what the build and the tests need on any machine.
arm64_packages="base-files libc-bin dash libc6-dev linux-libc-dev gcc cmake python3 busybox-static bash coreutils findutils grep
  sed mawk mount base-passwd iproute2 util-linux procps ethtool nftables curl iperf3 redis-server
  bind9-dnsutils netcat-openbsd prometheus bpftool libbpf-dev libelf-dev zlib1g-dev"

# All of them, as words.
arm64_root_packages() {
  # shellcheck disable=SC2086  # lists of words
  echo $arm64_packages ${packages[libraries]} ${packages[tests]}
}

# ready_arm64_root keep|refresh: vm_cache/arm64 is there, or the script ends. `refresh` makes it anew, and so does
# a package more than it was made of.
ready_arm64_root() {
  local root=$vm_cache/arm64 log=$vm_cache/arm64.log

  mkdir -p "$vm_cache"
  if [ "$(cat "$root/complete" 2>/dev/null)" = "$(arm64_root_packages)" ] && [ "$1" != refresh ]; then return; fi
  say "arm64: download Debian bookworm's libraries and programs (about 200 MB)"
  make_arm64_root "$root" >"$log" 2>&1 || {
    tail -n 5 "$log" >&2
    die "no root for arm64; all of it: $log"
  }
}

make_arm64_root() {
  local root=$1 source=bookworm.arm64 archives=$vm_cache/apt/bookworm.arm64/cache/archives package

  suite_lists $source || return 1
  # shellcheck disable=SC2046  # words
  suite_apt $source apt-get install -y --download-only --no-install-recommends $(arm64_root_packages) ||
    return 1
  rm -rf "$root"
  mkdir -p "$root"
  for package in "$archives"/*.deb; do
    dpkg-deb -x "$package" "$root" || return 1
    rm "$package"
  done
  # What maintainer scripts would have done and the tests need.
  cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
  cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
  ln -sf mawk "$root/usr/bin/awk"
  ln -sf nc.openbsd "$root/bin/nc"
  arm64_root_packages >"$root/complete"
}
