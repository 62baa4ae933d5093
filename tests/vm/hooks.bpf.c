// tests/vm/hooks.bpf.c: an LSM program that refuses sockets of one protocol, and an fentry
// program that counts who asked. Only in the virtual machines; nothing of partywalld's.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define REFUSED 253  // a protocol for experiments, RFC 3692
#define EPERM 1

char LICENSE[] SEC("license") = "GPL";
int asked = 0;

SEC("lsm/socket_create")
int BPF_PROG(refuse_socket, int family, int type, int protocol, int kern, int before) {
  if (before) return before;
  return protocol == REFUSED ? -EPERM : 0;
}

SEC("fentry/security_socket_create")
int BPF_PROG(count_socket, int family, int type, int protocol) {
  if (protocol == REFUSED) __sync_fetch_and_add(&asked, 1);
  return 0;
}
