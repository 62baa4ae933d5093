// tests/bpf/device.h: a network device to send packets from that is nobody else's.
#ifndef PARTYWALL_TESTS_BPF_DEVICE_H
#define PARTYWALL_TESTS_BPF_DEVICE_H

#include <net/if.h>
#include <sched.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "maps/result.h"

namespace partywall::test {

// BPF_PROG_TEST_RUN sends packets from this device (context ifindex); without one they come
// from loopback, which is judged by rules of its own.
inline constexpr uint32_t kLoopback = 1;  // in every network namespace

// Moves this process, which must have one thread, to a network namespace of its own with a
// device in it, and returns the device's number. Both end with the process. Needs root.
inline Result<uint32_t> make_device() {
  if (unshare(CLONE_NEWNET)) return fail_errno(errno, "make a network namespace");
  // NOLINTNEXTLINE(cert-env33-c): the words are fixed
  if (std::system("PATH=$PATH:/usr/sbin:/sbin ip link add pw0 type veth peer name pw1") != 0)
    return fail("make a veth in a network namespace of its own: is iproute2 installed?");

  uint32_t number = if_nametoindex("pw0");

  if (number <= kLoopback) return fail_errno(errno, "find the veth that was just made");
  return number;
}

}  // namespace partywall::test

#endif
