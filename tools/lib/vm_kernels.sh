# tools/lib/vm_kernels.sh: Debian's kernels for the virtual machines, out of the packages of its suites.
# Downloads and unpacks into the user's cache, installs nothing. Sourced by tools/test-kernels after ready.sh.
# shellcheck shell=bash disable=SC2154  # ready_root is ready.sh's

# shellcheck disable=SC2034  # for those who source this
kernel_versions=(5.10 6.1 6.12 7)
# Version -> suite and architecture.
declare -A kernel_source=([5.10]=bullseye.amd64 [6.1]=bookworm.amd64 [6.12]=trixie.amd64 [7]=sid.amd64
  [6.1-arm64]=bookworm.arm64)
# Version -> what runs there when no label is asked for. All of it everywhere would take two cores half an hour:
# system is for the oldest and the newest, adversarial for the one between, whose system tools/test runs.
declare -A kernel_labels=([5.10]=refusal [6.1]="system smp bpf vm" [6.12]="adversarial bpf vm"
  [7]="system smp bpf vm" [6.1-arm64]=bpf)

# What the machine needs before it has its root: its shares, and a layer over them.
boot_modules="virtio_pci 9pnet_virtio 9p overlay"
# Folders of modules that no test will ever ask for: nine tenths of the whole.
unused_modules="sound drivers/gpu drivers/media drivers/net/wireless drivers/net/ethernet drivers/scsi
  drivers/iio drivers/staging drivers/infiniband drivers/usb drivers/hwmon drivers/input"

vm_cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/partywall

# Where this machine gets Debian from: what its own apt is told, so also a mirror.
debian_mirror() {
  local mirror

  # shellcheck disable=SC2016  # apt's own variables
  mirror=$(apt-get indextargets --format '$(REPO_URI)|$(ORIGIN)|$(LABEL)|$(COMPONENT)' |
    sed -n 's/|Debian|Debian|main$//p' | head -n 1)
  [ -n "$mirror" ] || die "apt knows no Debian archive, or has no list of it; run: sudo apt-get update"
  say "$mirror"
}

# suite_apt SOURCE COMMAND ARGS...: an apt that has only this suite for this architecture, knows of no installed
# package, and has its state in the cache.
suite_apt() {
  local state=$vm_cache/apt/$1 arch=${1#*.} command=$2
  shift 2

  "$command" -q -o Dir::State="$state" -o Dir::State::status=/dev/null -o Dir::Cache="$state/cache" \
    -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=- \
    -o APT::Architecture="$arch" -o APT::Architectures="$arch" \
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
    -o APT::Sandbox::User="$(id -un)" "$@"
}

# suite_lists SOURCE: what the suite has now.
suite_lists() {
  local state=$vm_cache/apt/$1 mirror

  mirror=$(debian_mirror) || return 1
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" \
    "${1%.*}" >"$state/sources.list"
  suite_apt "$1" apt-get update
}

# suite_depends SOURCE PACKAGE: names of the packages linux-* that it needs, its own kernel's.
suite_depends() {
  suite_apt "$1" apt-cache show --no-all-versions "$2" | sed -n 's/^Depends: //p' | tr ',' '\n' |
    grep -oE 'linux-(image|binary|modules)-[0-9][^ ]*'
}

# newest_packages SOURCE: the packages that make up the suite's newest kernel, one a line.
newest_packages() {
  local image

  image=$(suite_depends "$1" "linux-image-${1#*.}")
  [ -n "$image" ] || return 1
  say "$image"
  suite_depends "$1" "$image"
  return 0
}

# download_kernel SOURCE FOLDER PACKAGE...: FOLDER/vmlinuz and FOLDER/modules/RELEASE.
download_kernel() {
  local source=$1 folder=$2 package root=$2/unpacked release
  shift 2

  mkdir -p "$folder/modules"
  for package; do
    (cd "$folder" && suite_apt "$source" apt-get download "$package") || return 1
  done
  for package in "$folder"/*.deb; do
    dpkg-deb -x "$package" "$root" || return 1
    rm "$package"
  done
  find "$root" -name 'vmlinuz*' -type f -exec cp {} "$folder/vmlinuz" \; || return 1
  # Since trixie, /lib is /usr/lib.
  find "$root" -path '*/lib/modules/*' -prune -exec mv {} "$folder/modules" \; || return 1
  rm -r "$root"
  release=$(ls "$folder/modules")
  # shellcheck disable=SC2086  # a list of words
  (cd "$folder/modules/$release/kernel" && rm -rf $unused_modules) || return 1
  # Plain files, for a busybox that cannot unpack them.
  find "$folder/modules" -name '*.ko.xz' -exec xz -d {} + || return 1
  mkdir -p "$folder/lib" && ln -s ../modules "$folder/lib/modules"
  busybox depmod -b "$folder" "$release"
}

# module_order FOLDER: files of boot_modules and of all they need, in the order to load them. FOLDER has
# a modules.dep.
module_order() {
  awk -v wanted="$boot_modules" '
    { file = $1; sub(/:$/, "", file); name = file
      sub(/.*\//, "", name); sub(/\.ko.*/, "", name)
      $1 = ""; needs[file] = $0; path[name] = file }
    # modules.dep names all that a module needs, those first that are to be loaded last.
    function load(file, count, list) {
      if (file in loaded) return
      loaded[file] = 1
      for (count = split(needs[file], list, " "); count > 0; count--) load(list[count])
      print file
    }
    END { for (i = 1; i <= split(wanted, names, " "); i++)
      if (names[i] in path) load(path[names[i]]) }' "$1/modules.dep"
}

# make_initramfs VERSION FILE: of busybox, the modules and tests/vm/init.
make_initramfs() {
  local modules stage=$2.d module busybox

  busybox=$(command -v busybox)
  if [[ $1 == *-arm64 ]]; then busybox=$vm_cache/arm64/bin/busybox; fi
  modules=$(echo "$vm_cache/kernels/$1/modules/"*)
  rm -rf "$stage" && mkdir -p "$stage/bin" "$stage/modules"
  cp "$busybox" "$stage/bin/busybox"
  ln -s busybox "$stage/bin/sh"
  cp "$ready_root/tests/vm/init" "$stage/init"
  while read -r module; do
    cp "$modules/$module" "$stage/modules/" || return 1
    basename "$module" >>"$stage/modules/list"
  done < <(module_order "$modules")
  (cd "$stage" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$2" || return 1
  rm -r "$stage"
}

# ready_vm_kernel VERSION [refresh]: the kernel is in vm_cache/kernels/VERSION, or the script ends.
# Downloaded once; `refresh` asks whether there is a newer one.
ready_vm_kernel() {
  local version=$1 source=${kernel_source[$1]} folder=$vm_cache/kernels/$1 fresh=$vm_cache/kernels/$1.new
  local log=$vm_cache/kernels/$1.log packages

  mkdir -p "$vm_cache/kernels"
  exec 8<"$vm_cache/kernels"
  flock 8
  if [ ! -e "$folder/packages" ] || [ "${2:-}" = refresh ]; then
    : >"$log"
    suite_lists "$source" >>"$log" 2>&1 || no_vm_kernel "$version" "$log"
    packages=$(newest_packages "$source" 2>>"$log") || no_vm_kernel "$version" "$log"
    if [ "$packages" != "$(cat "$folder/packages" 2>/dev/null)" ]; then
      say "kernel $version: download from ${source%.*}: ${packages%%$'\n'*}"
      rm -rf "$fresh"
      # shellcheck disable=SC2086  # a list of words
      download_kernel "$source" "$fresh" $packages >>"$log" 2>&1 || no_vm_kernel "$version" "$log"
      say "$packages" >"$fresh/packages"
      rm -rf "$folder"
      mv "$fresh" "$folder"
    fi
  fi
  exec 8<&-
}

no_vm_kernel() {
  tail -n 5 "$2" >&2
  die "kernel $1 could not be made ready; all of it: $2"
}
