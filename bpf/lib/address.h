// bpf/lib/address.h: an IPv4 or IPv6 address as the programs hold it. No functions.
#ifndef PARTYWALL_BPF_LIB_ADDRESS_H
#define PARTYWALL_BPF_LIB_ADDRESS_H

#include <linux/in.h>
#include <linux/in6.h>

#include "bpf/lib/kernel.h"

#ifndef AF_INET
#define AF_INET 2
#define AF_INET6 10
#endif

// Network order; IPv4 in the first word.
struct address {
  __u32 word[4];
};

#endif
