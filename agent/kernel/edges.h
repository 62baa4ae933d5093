// agent/kernel/edges.h: the workloads' interfaces on this host: found, attached, given to their
// tenants, looked after.
#ifndef PARTYWALL_AGENT_KERNEL_EDGES_H
#define PARTYWALL_AGENT_KERNEL_EDGES_H

#include <bpf/libbpf.h>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/kernel/interface_table.h"
#include "agent/kernel/link_watch.h"
#include "agent/kernel/tc_hooks.h"
#include "maps/typed_map.h"

namespace partywall::kernel {

// Which interfaces are workloads', and how they are to be attached.
struct EdgeOptions {
  std::vector<std::string> names;  // patterns of interface names, * and ?; none = no edge plane
  uint32_t mark_mask = 0;          // maps/abi/control.h
  TcOrder order = TcOrder::kFirst;
};

// An interface name, or a pattern of names.
bool is_named(std::string_view name, std::string_view pattern);

// What became of one interface, for logs and metrics.
struct EdgeNews {
  std::string name;
  uint32_t ifindex = 0;
  double seconds = 0;     // from the kernel's word of it until it was attached
  uint64_t unjudged = 0;  // frames that had passed by then
  std::string trouble;    // why it is not attached
};

// One attached interface, for status.
struct Edge {
  uint32_t ifindex = 0;
  std::string name;
  uint16_t tenant = 0;  // by name; the programs know of those that are bound by cgroup
  bool tcx = false;
};

class Edges {
 public:
  using Claims = std::vector<std::pair<std::string, uint16_t>>;  // pattern -> tenant

  // `object`: bpf/edge.bpf.c, loaded. Follows interfaces from now on and attaches to none.
  static Result<Edges> open(EdgeOptions options, bpf_object* object, std::string pin_root);

  // What the policy of one side calls its own. More than one tenant's claims on an interface
  // are nobody's.
  void apply(uint32_t side, Claims claims);

  // Attaches to every interface that is a workload's, and lets go of what is not any more.
  // `start`: workloads talk already. Those that are attached then still hear those that are
  // not, until all are; else what crosses meanwhile would be lost.
  Result<std::vector<EdgeNews>> attach_all(bool start = false);

  // Follows what netlink told since the last call.
  Result<std::vector<EdgeNews>> follow();

  // What somebody took off is attached again; names of programs and interfaces.
  Result<std::vector<std::string>> repair();

  int poll_fd() const { return watch_.poll_fd(); }
  std::vector<Edge> all() const;
  // Of those, how many are bound to a tenant, by name or by their first packet.
  size_t bound(uint32_t side) const;

 private:
  struct Attached {
    std::string name;
    bool has_link_header = true;
    std::array<TcAttachment, 2> programs;
  };

  bool is_wanted(std::string_view name) const;
  uint16_t claimed_by(std::string_view name, uint32_t side) const;
  EdgeNews attach(const LinkNews& link, uint32_t flags = 0);
  Result<void> attach_programs(uint32_t ifindex, Attached& edge);
  void let_go(uint32_t ifindex);
  void note_host_interface(const LinkNews& link);

  EdgeOptions options_;
  std::string pin_root_;
  std::array<const bpf_program*, 2> programs_{};
  std::array<uint32_t, 2> program_ids_{};
  LinkWatch watch_;
  MappedArray<abi::interface> rows_;
  InterfaceTable table_;
  std::array<Claims, PARTYWALL_SIDES> claims_;
  std::map<uint32_t, Attached> edges_;  // by ifindex
};

}  // namespace partywall::kernel

#endif
