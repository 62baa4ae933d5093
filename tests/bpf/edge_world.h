// tests/bpf/edge_world.h: frames through the programs of the edge, at interfaces whose rows the
// test writes itself. Attaches nothing.
#ifndef PARTYWALL_TESTS_BPF_EDGE_WORLD_H
#define PARTYWALL_TESTS_BPF_EDGE_WORLD_H

#include <sched.h>

#include <optional>

#include "agent/kernel/flow_tables.h"
#include "agent/kernel/interface_table.h"
#include "maps/abi/control.h"
#include "maps/abi/flows.h"
#include "maps/abi/interfaces.h"
#include "maps/typed_map.h"
#include "tests/bpf/world.h"

namespace partywall::test {

using LinkAddress = std::array<uint8_t, 6>;

inline constexpr LinkAddress kWorkload = {0x02, 0, 0, 0, 0, 0x11};
inline constexpr LinkAddress kHost = {0x02, 0, 0, 0, 0, 0x22};

// What tc makes of a packet.
inline constexpr int kNext = -1;
inline constexpr int kDrop = 2;

// One frame at an interface, as the kernel hands it over.
struct EdgeFrame {
  abi::direction direction = abi::DIRECTION_EGRESS;
  uint32_t ifindex = 0;
  std::vector<uint8_t> bytes;
  uint32_t mark = 0;
  uint32_t came_over = 0;  // the interface it was received on; 0 = it is from this host
  uint32_t segments = 0;
};

// A cell that counted something.
struct EdgeCell {
  uint16_t tenant = 0;
  abi::direction direction = abi::DIRECTION_EGRESS;
  abi::reason reason = abi::REASON_COUNT;
  abi::peer_class peer_class = abi::CLASS_UNKNOWN;  // limits only
  bool would = false;
  uint64_t bytes = 0;
  uint64_t packets = 0;

  bool operator==(const EdgeCell&) const = default;
};

struct EdgeOutcome {
  int verdict = 0;
  std::vector<EdgeCell> cells;
  uint32_t mark = 0;
  bool is_unchanged = false;  // the frame's bytes

  // The one reason that it was counted under; REASON_COUNT = not one.
  abi::reason reason() const { return cells.size() == 1 ? cells[0].reason : abi::REASON_COUNT; }
};

class EdgeWorld : public World {
 protected:
  static constexpr int kInterfaces = 6;
  static constexpr uint32_t kUnknownInterface = 30'000;  // nobody has looked at it
  static constexpr uint32_t kMarkMask = 0x00ff0000;
  static constexpr uint16_t kWatched = 16;  // counters of tenants with a number below are seen

  void SetUp() override;
  void TearDown() override;

  // Puts a policy into force; interfaces, what they have learned and all flows are forgotten.
  void start(const std::string& text, const std::string& config = "");

  uint32_t ifindex(int number) const { return interfaces_[static_cast<size_t>(number)]; }
  // Makes the row of an interface afresh: given to a tenant by name, or to nobody.
  abi::interface& give(int number, const std::string& tenant = "",
                       uint32_t flags = INTERFACE_STRICT);
  void forget(int number) { table_.remove(ifindex(number)); }
  // A table for a tenant's flows, empty.
  void make_flows(const std::string& tenant, uint32_t flows = FLOWS_DEFAULT);
  // Fills it with flows of somebody else that are established: all of its own are gone that are
  // not. And takes those out again.
  void fill_flows(const std::string& tenant, bool keep_established = false);
  void drain_flows(const std::string& tenant);

  EdgeOutcome send(const EdgeFrame& frame);
  uint32_t mark_of(uint16_t tenant, uint32_t others = 0) const;
  abi::control& control() { return control_[0]; }

 private:
  template <typename Change>
  void each_flow(const std::string& tenant, Change change);

  std::array<uint32_t, kInterfaces> interfaces_{};
  MappedArray<abi::interface> rows_;
  MappedArray<abi::control> control_;
  MappedArray<const abi::tenant_counters> counters_;
  kernel::InterfaceTable table_;
  std::optional<kernel::FlowTables> flows_;
  std::vector<abi::tenant_counters> seen_;  // this CPU's, then those of latecomers
  size_t cpu_ = 0;
  cpu_set_t cpus_{};
};

// A packet between two link addresses: `out` from the workload to the host.
std::vector<uint8_t> between(Packet packet, const LinkAddress& from, const LinkAddress& to);
std::vector<uint8_t> out(Packet packet);
std::vector<uint8_t> in(Packet packet);

}  // namespace partywall::test

#endif
