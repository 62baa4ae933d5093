// tests/bench/empty.bpf.c: programs that do nothing: what a hook costs before anything is decided.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("cgroup_skb/egress")
int empty_egress(struct __sk_buff* skb) { return 1; }

SEC("cgroup_skb/ingress")
int empty_ingress(struct __sk_buff* skb) { return 1; }

SEC("tc")
int empty_tc(struct __sk_buff* skb) { return -1; }

SEC("cgroup/connect4")
int empty_connect(struct bpf_sock_addr* context) { return 1; }

SEC("tp_btf/sys_enter")
int empty_sys_enter(void* context) { return 0; }
