# tools/lib/ready.sh: everything a script needs before it can run Partywall: packages, a build, a kernel
# that can. Sourced by tools/setup, test, lint and demo. Says what is missing; never half-works.
#
#   ready_build [PRESET [TARGET...]]   packages and an up-to-date build (default: release, all of it) in build/PRESET
#   ready_kernel           root, capabilities, BTF, cgroup2, bpffs; ends the script when one is missing
# shellcheck shell=bash

ready_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL=C.UTF-8
set -o pipefail

say() { printf '%s\n' "$*"; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# show_progress LABEL LOG: standard input goes to LOG; how far it is, to the screen. Understands ninja's
# "[n/m]", ctest's "n/m Test" and apt's status lines. Failed tests are shown as they happen.
show_progress() {
  local label=$1 log=$2 line percent="" shown=-100

  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$log"
    if [[ $line =~ ^\ *\[?([1-9][0-9]*)/([0-9]+)(\]|\ Test) ]]; then
      percent=$((BASH_REMATCH[1] * 100 / BASH_REMATCH[2]))
    elif [[ $line =~ ^(pm|dl)status:[^:]*:([0-9]+) ]]; then
      # The first half of apt's way is the download.
      percent=$((BASH_REMATCH[2] / 2))
      if [ "${BASH_REMATCH[1]}" = pm ]; then percent=$((percent + 50)); fi
    else
      continue
    fi
    if [[ $line =~ \ Test\ .*\*\*\* ]]; then say "  $line"; fi
    if [ -t 1 ]; then
      printf '\r  %s %3d%%\033[K' "$label" "$percent"
    elif ((percent >= shown + 20 || (percent == 100 && shown < 100))); then
      say "  $label $percent%"
      shown=$percent
    fi
  done
  if [ -z "$percent" ]; then
    say "  $label: nothing to do"
  elif [ -t 1 ]; then
    printf '\n'
  fi
}

# build_preset PRESET [TARGET...]: configures when needed and builds, with progress.
build_preset() {
  local preset=$1 folder=$ready_root/build/$1 log fresh=()
  shift

  log=$folder/build.log
  { mkdir -p "$folder" && : >"$log"; } 2>/dev/null ||
    die "$folder cannot be written: it belongs to $(stat -c %U "$folder" 2>/dev/null || echo another user);" \
      "build as that user, or as root"
  # A checkout that was moved or copied brings a cache of the old place.
  if ! grep -qsxF "CMAKE_HOME_DIRECTORY:INTERNAL=$ready_root" "$folder/CMakeCache.txt"; then
    fresh=(--fresh)
  fi
  if [ ${#fresh[@]} != 0 ] || [ ! -e "$folder/build.ninja" ]; then
    say "configure: preset $preset"
    (cd "$ready_root" && cmake --preset "$preset" "${fresh[@]}") >>"$log" 2>&1 || {
      grep -A 12 'CMake Error' "$log" >&2 || tail -n 20 "$log" >&2
      die "configuring preset $preset failed; all of it: $log"
    }
  fi
  say "build: preset $preset"
  (cd "$ready_root" && cmake --build --preset "$preset" ${1:+--target "$@"}) 2>&1 |
    show_progress "build $preset" "$log" || {
    grep -vE '^\[[0-9]+/[0-9]+\]' "$log" | head -n 80 >&2
    give_back
    die "building preset $preset failed; all of it: $log"
  }
  give_back
}

# What root has built belongs to the owner of the checkout, who will want to build there, too.
give_back() {
  if [ "$(id -u)" = 0 ]; then chown -hR --reference="$ready_root" "$ready_root/build"; fi
}

# ready_build [PRESET [TARGET...]]: two at a time would write the same files, so the second one waits.
ready_build() {
  exec 9<"$ready_root"
  flock 9
  install_packages "${package_sets[@]}"
  build_preset "${@:-release}"
  exec 9<&-
}

# has_mount TYPE [FOLDER]: a whole file system (not a part of one) of this type is mounted.
has_mount() {
  awk -v type="$1" -v folder="${2:-}" '
    { for (i = 7; $i != "-"; i++) {}
      if ($(i + 1) == type && $4 == "/" && (folder == "" || $5 == folder)) found = 1 }
    END { exit !found }' "${READY_MOUNTINFO:-/proc/self/mountinfo}"
}

# has_capability NUMBER
has_capability() {
  local effective

  effective=$(awk '/^CapEff/ {print $2}' /proc/self/status)
  (((16#$effective >> $1) & 1))
}

# What this machine lacks to load and attach programs, one sentence a line; nothing when it can.
missing_in_kernel() {
  if [ "$(id -u)" != 0 ]; then
    say "not root: run it with sudo, or as root"
    return
  fi
  has_capability 12 || say "root here has no CAP_NET_ADMIN: run it on the host, or add the capability"
  has_capability 21 ||
    say "root here has no CAP_SYS_ADMIN, which making network namespaces takes: run it on the host"
  [ -r "${READY_BTF:-/sys/kernel/btf/vmlinux}" ] ||
    say "the kernel brings no type information (/sys/kernel/btf/vmlinux): boot one built with" \
      "CONFIG_DEBUG_INFO_BTF, as Debian's are"
  has_mount cgroup2 ||
    say "no cgroup2 file system is mounted: boot with systemd.unified_cgroup_hierarchy=1, or" \
      "mount -t cgroup2 cgroup2 /sys/fs/cgroup"
  has_mount bpf /sys/fs/bpf ||
    say "no BPF file system at /sys/fs/bpf, and it could not be mounted: mount -t bpf bpf /sys/fs/bpf"
}

ready_kernel() {
  local missing

  if [ "$(id -u)" = 0 ] && ! has_mount bpf /sys/fs/bpf &&
    mount -t bpf -o mode=0700 bpf /sys/fs/bpf 2>/dev/null; then
    say "mounted a BPF file system at /sys/fs/bpf"
  fi
  missing=$(missing_in_kernel)
  if [ -z "$missing" ]; then return 0; fi
  while IFS= read -r sentence; do
    printf '%s: %s\n' "$(basename "$0")" "$sentence" >&2
  done <<<"$missing"
  exit 1
}

# shellcheck source=tools/lib/packages.sh
source "$ready_root/tools/lib/packages.sh"
