// tests/bpf/world.h: a datapath of its own for each test, fed from policy text, run with
// BPF_PROG_TEST_RUN.
#ifndef PARTYWALL_TESTS_BPF_WORLD_H
#define PARTYWALL_TESTS_BPF_WORLD_H

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "agent/kernel/datapath.h"
#include "agent/policy/compile.h"
#include "agent/policy/parse.h"
#include "maps/abi/counters.h"
#include "maps/abi/events.h"
#include "maps/ring_reader.h"
#include "tests/bpf/device.h"
#include "tests/bpf/packet.h"

namespace partywall::test {

// What one packet met with.
struct Outcome {
  int verdict = -1;                        // what the program returned
  abi::reason reason = abi::REASON_COUNT;  // the one cell whose packet count went up
  bool would = false;                      // it was a cell of audit mode
  uint64_t bytes = 0;                      // charged
  uint64_t packets = 0;
};

// Pins, managed root and cgroups named after this process; all removed at the end. The process
// enters a tenant's cgroup to run as it, and leaves it again.
class World : public testing::Test {
 protected:
  static constexpr uint32_t kMaxTenants = 64;
  static constexpr uint32_t kDevice = 0;  // stands for the test's own device

  void SetUp() override;
  void TearDown() override;

  // Puts a policy into force: the documents as an operator writes them. `$ROOT` stands for the
  // managed root.
  void policy(std::string text, const std::string& config = "");

  // Makes <managed root>/<name>.
  void make_cgroup(const std::string& name);
  // From now on this process is in <managed root>/<name>; "" = where it came from.
  void enter(const std::string& name);

  // Over kDevice or kLoopback.
  Outcome egress(Packet packet, uint32_t ifindex = kDevice, uint32_t gso_segs = 0);
  Outcome ingress(Packet packet, uint32_t ifindex = kDevice, uint32_t priority = 0);

  abi::tenant_counters counters(uint16_t tenant) const;
  uint16_t number(const std::string& tenant) const;
  std::vector<abi::verdict_event> events();

  bool count_syscalls_ = false;  // set before SetUp()
  std::string root_;             // "/pw-test-4711"
  std::string mount_;
  std::string pins_;
  std::unique_ptr<kernel::Datapath> datapath_;
  kernel::ImagePtr image_;
  policy::Policy policy_;
  uint32_t last_priority_ = 0;  // skb->priority after the last run

 private:
  Outcome run(const char* program, abi::direction direction, Packet packet, __sk_buff context);
  uint16_t current_tenant() const;

  uint32_t device_ = 0;
  std::string home_;
  std::string inside_;
  std::vector<std::string> cgroups_;
};

}  // namespace partywall::test

#endif
