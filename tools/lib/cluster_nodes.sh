# tools/lib/cluster_nodes.sh: the nodes of a test cluster: machines emulated by QEMU that run Debian's kernel 6.1
# on this machine's root, read-only below a layer in memory. Sourced after cluster_control.sh and vm_run.sh.
# shellcheck shell=bash disable=SC2154,SC2034  # variables of the other files, and for them

cluster_kernel=6.1
node_memory=3G
# Beside boot_modules of vm_kernels.sh: networks, pods and all that kube-proxy's rules may name. libcrc32c wants
# crc32c_generic without naming it.
node_modules="crc32c_generic virtio_net virtio_console veth bridge br_netfilter dummy sch_fq sch_ingress cls_bpf nf_conntrack
  nf_conntrack_netlink nf_nat nf_tables nft_ct nft_nat nft_masq nft_redir nft_log nft_hash nft_limit nft_numgen
  nft_objref nft_compat nft_chain_nat nft_fib nft_fib_ipv4 nft_fib_ipv6 nft_fib_inet nft_reject
  nft_reject_ipv4 nft_reject_ipv6 nft_reject_inet nfnetlink_acct"

# node_initramfs FILE: of busybox, the modules and tests/cluster/init; the same for every node.
node_initramfs() {
  local modules stage=$1.d module
  local boot_modules="${node_modules%% *} $boot_modules ${node_modules#* }"

  modules=$(echo "$vm_cache/kernels/$cluster_kernel/modules/"*)
  mkdir -p "$stage/bin" "$stage/modules"
  cp "$(command -v busybox)" "$stage/bin/busybox"
  ln -s busybox "$stage/bin/sh"
  cp "$ready_root/tests/cluster/init" "$stage/init"
  while read -r module; do
    cp "$modules/$module" "$stage/modules/" || return 1
    basename "$module" >>"$stage/modules/list"
  done < <(module_order "$modules")
  (cd "$stage" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$1" || return 1
  rm -r "$stage"
}

# node_up NUMBER: boots it, in the background. What its console said: node.NUMBER.log. One processor: of several, an
# emulated one may miss what another has changed in the kernel's code (docs/test-cluster.md).
node_up() {
  local node=$1 share="security_model=none,multidevs=remap"

  cp "$ready_root/tests/cluster/node" "node$node/node"
  cluster_nodes | wc -l >"node$node/count"
  in_cluster ip link show "tap$node" >/dev/null 2>&1 ||
    in_cluster ip tuntap add "tap$node" mode tap
  in_cluster ip link set "tap$node" master br0 up
  in_cluster ip route replace "10.244.$node.0/24" via "10.77.0.$((node + 1))"
  in_cluster ip route replace "fd00:244:0:$node::/64" via "fd77::$((node + 1))"
  # The socket's name is short because what holds it is: QEMU is started in this folder.
  # shellcheck disable=SC2046  # words
  nsenter --net="/run/netns/$cluster_name" $(machine_of "$cluster_kernel") -accel tcg -smp 1 -m "$node_memory" \
    -nodefaults -display none -serial "file:node.$node.log" -no-reboot \
    -kernel "$vm_cache/kernels/$cluster_kernel/vmlinuz" -initrd initramfs \
    -append "$(command_line_of "$cluster_kernel") node=$node" \
    -virtfs "local,path=/,mount_tag=host,readonly=on,$share" \
    -virtfs "local,path=$kubernetes_bin,mount_tag=programs,readonly=on,$share" \
    -virtfs "local,path=node$node,mount_tag=state,$share" \
    -device virtio-serial-pci -chardev "socket,id=commands,path=node$node.socket,server=on,wait=off" \
    -device virtserialport,chardev=commands,name=commands \
    -netdev "tap,id=net,ifname=tap$node,script=no,downscript=no" \
    -device "virtio-net-pci,netdev=net,mac=52:54:00:77:00:0$node" \
    >>"qemu.$node.log" 2>&1 </dev/null 8<&- 9<&- &
  echo $! >"processes/node$node"
}

# node_run NUMBER COMMAND: runs there, in a shell; its output and exit code. Needs no network.
node_run() {
  python3 -B "$ready_root/tools/lib/cluster_call.py" "$cluster_folder/node$1.socket" "${@:2}"
}

# cluster_nodes: their numbers.
cluster_nodes() {
  find "$cluster_folder" -maxdepth 1 -name 'node?' -printf '%f\n' | sort | tr -d '[:lower:]'
}

# nodes_ready NUMBER: so many are; 2 when one has ended, which no waiting will mend.
nodes_ready() {
  local node

  for node in $(cluster_nodes); do
    kill -0 "$(cat "$cluster_folder/processes/node$node")" || return 2
  done
  [ "$(cluster_kubectl get nodes --no-headers | grep -c ' Ready ')" = "$1" ]
}

# import_image FILE: a docker archive, into every node's containerd; all nodes at a time. A node that boots again imports
# it by itself.
import_image() {
  local node name imports=() import bad=0

  name=$(basename "$1")
  for node in $(cluster_nodes); do
    cp "$1" "$cluster_folder/node$node/images/$name" || return 1
    node_run "$node" "ctr -n k8s.io images import /run/state/images/$name" &
    imports+=($!)
  done
  for import in "${imports[@]}"; do wait "$import" || bad=1; done
  return $bad
}
