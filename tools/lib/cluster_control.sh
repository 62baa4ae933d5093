# tools/lib/cluster_control.sh: the control plane of a test cluster: keys, accounts, and etcd, kube-apiserver,
# controller-manager and scheduler in a network namespace of its own. Touches no other network; state lies in
# cluster_folder. Sourced after kubernetes.sh.
# shellcheck shell=bash disable=SC2154,SC2054  # ready_root is ready.sh's, kubernetes_bin is kubernetes.sh's

# The name of the network namespace. Two clusters with two names do not meet.
cluster_name=${PARTYWALL_CLUSTER:-pwcluster}
cluster_folder=$ready_root/build/cluster/$cluster_name

# Addresses: the control plane is .1 and ::1, node N is N+1. Pods of node N are in its own part of the range.
cluster_api=10.77.0.1
cluster_services=10.96.0.0/16,fd00:96::/108
cluster_pods=10.244.0.0/16,fd00:244::/32
# An address that is neither a node's nor a pod's, for what is outside.
cluster_world="203.0.113.1/32 2001:db8:113::1/128"

in_cluster() { nsenter --net="/run/netns/$cluster_name" "$@"; }

# cluster_kubectl ARGS...: as the administrator.
cluster_kubectl() {
  in_cluster "$kubernetes_bin/kubectl" --kubeconfig "$cluster_folder/admin.kubeconfig" "$@"
}

# cluster_keys: a certificate authority, certificates for the API server and for its calls to the kubelets, a key
# pair for service account tokens.
cluster_keys() {
  local names="subjectAltName=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  names+=",DNS:localhost,IP:127.0.0.1,IP:$cluster_api,IP:10.96.0.1,IP:fd77::1"

  mkdir -p keys
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=cluster -keyout keys/ca.key -out keys/ca.crt &&
    cluster_certificate apiserver /CN=kube-apiserver "$names" &&
    cluster_certificate kubelet-client /O=system:masters/CN=apiserver "extendedKeyUsage=clientAuth" &&
    openssl genrsa -out keys/accounts.key 2048 &&
    openssl rsa -in keys/accounts.key -pubout -out keys/accounts.pub
}

# cluster_certificate NAME SUBJECT EXTENSION: keys/NAME.crt and .key, signed by the authority.
cluster_certificate() {
  openssl req -newkey rsa:2048 -nodes -subj "$2" -keyout "keys/$1.key" -out "keys/$1.csr" &&
    openssl x509 -req -in "keys/$1.csr" -CA keys/ca.crt -CAkey keys/ca.key -CAcreateserial -days 30 \
      -extfile <(echo "$3") -out "keys/$1.crt"
}

# cluster_account FILE USER [GROUP]: a user that a token of its own stands for, and its kubeconfig, which holds
# all it needs.
cluster_account() {
  local token

  token=$(openssl rand -hex 16)
  echo "$token,$2,$2${3:+,\"$3\"}" >>keys/tokens.csv
  cat >"$1" <<KUBECONFIG
apiVersion: v1
kind: Config
current-context: cluster
contexts: [{name: cluster, context: {cluster: cluster, user: user}}]
users: [{name: user, user: {token: "$token"}}]
clusters:
  - name: cluster
    cluster: {server: "https://$cluster_api:6443", certificate-authority-data: $(base64 -w 0 keys/ca.crt)}
KUBECONFIG
}

cluster_accounts() {
  local node

  cluster_account admin.kubeconfig admin system:masters
  cluster_account controller-manager.kubeconfig system:kube-controller-manager
  cluster_account scheduler.kubeconfig system:kube-scheduler
  cluster_account proxy.kubeconfig system:kube-proxy
  for node in $(seq "$1"); do
    mkdir -p "node$node/images"
    cluster_account "node$node/kubelet.kubeconfig" "system:node:node$node" system:nodes
    cp proxy.kubeconfig keys/ca.crt "node$node/"
  done
}

# The network namespace, with a bridge for the nodes.
cluster_network() {
  local address

  ip netns add "$cluster_name" || return 1
  in_cluster sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv4.ip_forward=1
  in_cluster ip link set lo up
  in_cluster ip link add br0 type bridge
  in_cluster ip addr add "$cluster_api/24" dev br0
  in_cluster ip addr add fd77::1/64 dev br0 nodad
  in_cluster ip link set br0 up
  for address in $cluster_world; do in_cluster ip addr add "$address" dev lo; done
  # Who outside routes the Services' addresses to a node reaches them, and kube-proxy lets it.
  in_cluster ip route add 10.96.0.0/16 via 10.77.0.2
  in_cluster ip route add fd00:96::/108 via fd77::2
}

# cluster_start NAME: etcd, apiserver, controller-manager or scheduler, in the background.
cluster_start() {
  local command

  case $1 in
    etcd) command=(etcd --data-dir "$cluster_folder/etcd" --unsafe-no-fsync --log-level warn) ;;
    apiserver)
      command=("$kubernetes_bin/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --secure-port=6443
        --advertise-address="$cluster_api" --allow-privileged=true --authorization-mode=Node,RBAC
        --enable-admission-plugins=NodeRestriction --token-auth-file=keys/tokens.csv
        --client-ca-file=keys/ca.crt --tls-cert-file=keys/apiserver.crt
        --tls-private-key-file=keys/apiserver.key --kubelet-preferred-address-types=InternalIP
        --kubelet-client-certificate=keys/kubelet-client.crt --kubelet-client-key=keys/kubelet-client.key
        --service-account-issuer=https://kubernetes.default.svc
        --service-account-key-file=keys/accounts.pub --service-account-signing-key-file=keys/accounts.key
        --service-cluster-ip-range="$cluster_services" --cert-dir="$cluster_folder/certs")
      ;;
    controller-manager)
      command=("$kubernetes_bin/kube-controller-manager" --kubeconfig=controller-manager.kubeconfig
        --use-service-account-credentials --root-ca-file=keys/ca.crt --leader-elect=false
        --service-account-private-key-file=keys/accounts.key --cluster-cidr="$cluster_pods"
        --allocate-node-cidrs=false --kube-api-qps=200 --kube-api-burst=400
        # An emulated node that starts pods may be late to say that it lives; its pods would be taken out of Services.
        --node-monitor-grace-period=300s)
      ;;
    scheduler)
      command=("$kubernetes_bin/kube-scheduler" --kubeconfig=scheduler.kubeconfig --leader-elect=false)
      ;;
  esac
  mkdir -p processes
  # Not a function: the process to end would be a shell's.
  nsenter --net="/run/netns/$cluster_name" "${command[@]}" >>"$1.log" 2>&1 </dev/null 8<&- 9<&- &
  echo $! >"processes/$1"
}

# cluster_end NAME: ends what has this name, and waits until it has.
cluster_end() {
  local process

  process=$(cat "$cluster_folder/processes/$1" 2>/dev/null) || return 0
  rm -f "$cluster_folder/processes/$1"
  kill "$process" 2>/dev/null || return 0
  timeout "${2:-10}" tail --pid="$process" -f /dev/null || kill -9 "$process" 2>/dev/null
  timeout 10 tail --pid="$process" -f /dev/null
}

# wait_until SECONDS COMMAND...: until the command succeeds, or ends with 2: it never will.
wait_until() {
  local end=$((SECONDS + $1)) code
  shift

  until "$@" >/dev/null 2>&1; do
    code=$?
    if ((SECONDS >= end || code == 2)); then return 1; fi
    sleep 0.2
  done
}

# cluster_control_up NODES: keys, accounts for so many nodes, and the control plane; the node objects, with their
# ranges of pod addresses.
cluster_control_up() {
  local node

  cluster_keys >keys.log 2>&1 || die "openssl made no keys; what it said: $cluster_folder/keys.log"
  cluster_accounts "$1"
  cluster_network || die "no network namespace $cluster_name"
  cluster_start etcd
  cluster_start apiserver
  wait_until 90 cluster_kubectl get --raw /readyz ||
    die "the API server is not ready; what it said: $cluster_folder/apiserver.log"
  cluster_start controller-manager
  cluster_start scheduler
  for node in $(seq "$1"); do
    printf '{apiVersion: v1, kind: Node, metadata: {name: node%s}, spec: {podCIDR: %s, podCIDRs: [%s, "%s"]}}\n---\n' \
      "$node" "10.244.$node.0/24" "10.244.$node.0/24" "fd00:244:0:$node::/64"
  done | cluster_kubectl apply -f - >/dev/null || die "the API server does not take the nodes"
}
