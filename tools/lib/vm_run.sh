# tools/lib/vm_run.sh: one virtual machine from start to end, and what it left. Emulated, so it needs no
# /dev/kvm and no root. Sourced by tools/test-kernels after vm_kernels.sh.
# shellcheck shell=bash disable=SC2154  # ready_root is ready.sh's, vm_cache is vm_kernels.sh's

vm_folder=$ready_root/build/vm
vm_timeout_s=1800
vm_memory=3G

# vm_progress NAME LOG: standard input, a serial console, goes to LOG; how far it is and what failed, to the
# screen.
vm_progress() {
  local line shown=0 percent

  while IFS= read -r line; do
    line=${line%$'\r'}
    printf '%s\n' "$line" >>"$2"
    case $line in
      "kernel "*" is up after "*) say "  $1: $line" ;;
      *" Test "*"***"*) say "  $1: $line" ;;
    esac
    if [[ $line =~ ^\ *([1-9][0-9]*)/([0-9]+)\ Test ]]; then
      percent=$((BASH_REMATCH[1] * 100 / BASH_REMATCH[2]))
      if ((percent >= shown + 20 || percent == 100)); then
        say "  $1 $percent%"
        shown=$percent
      fi
    fi
  done
}

# The machine of VERSION, apart from its shares: without what is slow to emulate, as string instructions, guards
# of memory and signed pointers.
machine_of() {
  case $1 in
    *-arm64) echo qemu-system-aarch64 -machine virt -cpu max,pauth=off,lpa2=off,sve=off,sme=off ;;
    *) echo qemu-system-x86_64 -machine q35 -cpu max,-smap,-erms,-fsrm,-la57,-pku ;;
  esac
}

# What the kernel of VERSION is told.
command_line_of() {
  local console=ttyS0

  if [[ $1 == *-arm64 ]]; then console=ttyAMA0; fi
  echo "console=$console quiet panic=-1 mitigations=off audit=0 lsm=lockdown,capability,yama,bpf" \
    "tsc=reliable clocksource=tsc"
}

# run_vm VERSION JOB: boots, waits until it is off. What it said is in vm_folder/VERSION.JOB.log, its results
# in vm_folder/VERSION.JOB: of this run only. Meant for the background: a TERM ends the machine.
run_vm() {
  local kernel=$vm_cache/kernels/$1 results=$vm_folder/$1.$2 log=$vm_folder/$1.$2.log
  local share="security_model=none,multidevs=remap" root=/ build=release cpus=1 machine

  if [[ $1 == *-arm64 ]]; then root=$vm_cache/arm64 build=arm64; fi
  # Two that wait for each other are slower than one, more so on a busy host.
  if [ "$2" = smp ]; then cpus=2; fi
  rm -rf "$results" && mkdir -p "$results"
  printf '%s\n' "$2" faults >"$results/jobs"
  echo "$ready_root" >"$results/checkout"
  echo "$ready_root/build/$build" >"$results/build"
  make_initramfs "$1" "$results.initramfs" >"$log" 2>&1 || return 1
  # shellcheck disable=SC2046  # words
  timeout "$vm_timeout_s" $(machine_of "$1") -accel tcg,thread=multi -smp $cpus -m "$vm_memory" \
    -nodefaults -display none -serial stdio -no-reboot \
    -kernel "$kernel/vmlinuz" -initrd "$results.initramfs" -append "$(command_line_of "$1")" \
    -virtfs "local,path=$root,mount_tag=host,readonly=on,$share" \
    -virtfs "local,path=$ready_root,mount_tag=checkout,readonly=on,$share" \
    -virtfs "local,path=$kernel/modules,mount_tag=modules,readonly=on,$share" \
    -virtfs "local,path=$results,mount_tag=results,$share" \
    </dev/null > >(vm_progress "$1 $2" "$log") 2>&1 &
  machine=$!
  # shellcheck disable=SC2064  # the number it has now
  trap "kill $machine 2>/dev/null" TERM
  wait "$machine"
  # What it took of this machine's processors, for vm_table.py.
  times >"$results/processor"
}
