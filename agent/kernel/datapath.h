// agent/kernel/datapath.h: the running datapath: loaded, attached, and told one generation at a
// time.
#ifndef PARTYWALL_AGENT_KERNEL_DATAPATH_H
#define PARTYWALL_AGENT_KERNEL_DATAPATH_H

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "agent/kernel/edges.h"
#include "agent/kernel/flow_tables.h"
#include "agent/kernel/links.h"
#include "agent/kernel/membership.h"
#include "agent/kernel/objects.h"
#include "agent/kernel/sides.h"
#include "maps/abi/counters.h"

namespace partywall::kernel {

struct DatapathOptions {
  std::string pin_root;  // below a bpffs; made with mode 0700
  std::string cgroup_mount;
  std::string managed_root;  // "/tenants.slice"; made when it is not there
  uint32_t max_tenants = 1024;
  bool count_syscalls = true;
  EdgeOptions edge;
};

// What one apply() did, for logs and metrics.
struct Applied {
  uint64_t generation = 0;
  WriteCount written;
  double seconds = 0;  // until it was in force
};

// One per node: holds the lock on the pins. One thread.
class Datapath {
 public:
  // Takes the lock, adopts or makes the pinned maps, loads the programs, and follows cgroups
  // from then on. Attaches no verdict: whatever was in force stays in force. Fails when another
  // agent holds the lock, when the pins are of another schema or size, when bpffs is missing,
  // when a needed object does not load.
  static Result<std::unique_ptr<Datapath>> open(const DatapathOptions& options);

  // Puts an image into force in one step: every program that starts after it returned sees it.
  Result<Applied> apply(ImagePtr image);

  // Attaches what is not attached, replaces what is (no packet goes unjudged). Call it after
  // the first apply(), so that nobody is cut off by an empty policy; and again whenever
  // attachments() shows a gap.
  Result<void> attach();

  // Follows cgroups; see Membership::follow().
  Result<void> follow_cgroups();

  // Follows network interfaces; see Edges::follow().
  Result<std::vector<EdgeNews>> follow_interfaces();

  // What somebody detached, replaced or unpinned is attached and pinned again; says what it
  // was, one word each ("packet_egress"). Empty: all is as it should be.
  Result<std::vector<std::string>> repair();

  // The tenant numbers that the maps hold from before: seed for compile().
  policy::Numbers numbers() const;

  Membership& membership() { return *membership_; }
  // Null where the kernel has refused the programs of the edge and nobody asked for it.
  const Edges* edges() const { return edges_.get(); }
  const FlowTables* flow_tables() const { return flow_tables_.get(); }
  const Sides& sides() const { return *sides_; }
  uint32_t side_in_force() const { return control_[0].side; }
  uint64_t generation() const { return control_[0].generation; }
  uint64_t enforced_at_unix_ns() const { return control_[0].enforced_at_unix_ns; }
  abi::health health() const { return health_[0]; }
  uint64_t managed_root_id() const { return control_[0].root_cgroup_id; }
  bool counts_syscalls() const { return counts_syscalls_; }
  const std::string& syscalls_refused() const { return syscalls_refused_; }
  // The loaded program of that name, for BPF_PROG_TEST_RUN; -1 when there is none.
  int program_fd(std::string_view program) const;
  // Kernel memory of all maps, as the kernel accounts it.
  uint64_t map_memory_bytes() const;

 private:
  Datapath() = default;
  Result<void> take_lock();
  Result<void> make_pin_folders();
  Result<void> attach_pacing();
  Result<void> open_edges();
  Result<void> make_flow_tables(uint32_t side);
  bool uses_edges() const;
  Result<void> check_schema() const;
  Result<void> load();
  Result<void> start_control();
  Result<void> name_rows(const policy::Image& image);
  void release_numbers(const policy::Image& image);
  uint32_t program_id(std::string_view program) const;

  DatapathOptions options_;
  Fd lock_;
  Fd root_;
  std::vector<std::pair<std::string, Object>> objects_;
  std::vector<Link> links_;
  MappedArray<abi::control> control_;
  MappedArray<const abi::health> health_;
  MappedArray<abi::tenant_name> names_;
  TypedMap<uint32_t, abi::tenant_counters> counters_;
  std::unique_ptr<Sides> sides_;
  std::unique_ptr<Membership> membership_;
  std::unique_ptr<Edges> edges_;
  std::unique_ptr<FlowTables> flow_tables_;
  std::array<ImagePtr, PARTYWALL_SIDES> images_;
  std::vector<EdgeNews> edge_news_;  // of interfaces that were found while attaching
  bool is_attached_ = false;
  bool paces_ = false;    // a tenant of the policy in force has a rate that TCP is paced to
  bool released_ = true;  // numbers may have lost their owner and kept their system calls
  // Ends once no program reads the side that is not in force.
  std::future<void> left_;
  bool counts_syscalls_ = false;
  std::string syscalls_refused_;
};

}  // namespace partywall::kernel

#endif
