# tools/lib/leftovers.sh: what a run could leave on the machine, as lines "kind name". Only looks, never cleans
# up: who left it has a mistake to find. Sourced by tools/test.
# shellcheck shell=bash

# Everything there is now, sorted. Cgroups of system services and logins come and go by themselves.
list_leftovers() {
  local cgroups

  cgroups=$(awk '{ for (i = 7; $i != "-"; i++) {}
    if ($(i + 1) == "cgroup2" && $4 == "/") { print $5; exit } }' /proc/self/mountinfo)
  {
    find /run/netns -mindepth 1 -maxdepth 1 -printf 'network namespace %f\n' 2>/dev/null
    find /sys/class/net -mindepth 1 -maxdepth 1 -printf 'interface %f\n'
    find /sys/fs/bpf -mindepth 1 -printf 'pin %p\n' 2>/dev/null
    if [ -n "$cgroups" ]; then
      find "$cgroups" -mindepth 1 -type d -printf 'cgroup %P\n' 2>/dev/null |
        grep -vE '^cgroup (system|user|machine)\.slice|^cgroup init\.scope|^cgroup (docker|kubepods)'
    fi
    find /run /tmp -mindepth 1 -maxdepth 1 -name 'partywall*' ! -name 'partywall-test.*' \
      -printf 'file %p\n' 2>/dev/null
    for name in /proc/[0-9]*/comm; do
      if read -r command 2>/dev/null <"$name" && [[ $command == partywall* ]]; then
        name=${name%/comm}
        echo "process $command, pid ${name#/proc/}"
      fi
    done
  } | sort -u
}

# wait_for_no_leftovers BEFORE: what is there now and was not in the file BEFORE. The kernel takes a network
# namespace down in the background, so this looks for up to ten seconds until there is nothing more.
wait_for_no_leftovers() {
  local left end=$((SECONDS + 10))

  while left=$(comm -13 "$1" <(list_leftovers)) && [ -n "$left" ]; do
    if ((SECONDS >= end)); then
      printf '%s\n' "$left"
      return 1
    fi
    sleep 0.2
  done
}
