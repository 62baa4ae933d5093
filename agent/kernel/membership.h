// agent/kernel/membership.h: puts tenants at cgroups, follows cgroups as they come and go.
#ifndef PARTYWALL_AGENT_KERNEL_MEMBERSHIP_H
#define PARTYWALL_AGENT_KERNEL_MEMBERSHIP_H

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/policy/cgroup_claims.h"
#include "agent/source/cgroup_tree.h"
#include "maps/abi/control.h"
#include "maps/abi/members.h"
#include "maps/ring_reader.h"
#include "maps/typed_map.h"

namespace partywall::kernel {

// The user-space half of tenancy: which cgroup paths the policy's patterns claim. Inheritance
// below them is the kernel's (bpf/tenancy.bpf.c). One thread.
class Membership {
 public:
  struct Options {
    std::string pin_root;
    std::string mount;           // of cgroup2
    std::string root;            // managed root, "/tenants.slice"
    int assign_program_fd = -1;  // iter/cgroup, kept by the caller
  };

  // Reads the cgroup tree. The tracing programs must be attached already, so that what comes
  // after is told through the ring.
  static Result<Membership> start(Options options);

  // Makes one side's anchors what `claims` say and has the kernel work out every member of that
  // side. `rebuild`: what the anchors hold is not known (another agent's side). Keeps `claims`.
  Result<void> apply(uint32_t side, std::shared_ptr<const policy::CgroupClaims> claims,
                     bool rebuild);

  // Follows what the ring told since the last call: cgroups that a pattern of the side in force
  // claims get their tenant. Returns whether any has.
  Result<bool> follow(uint32_t side_in_force);

  // For each cgroup that follow() or apply() has given a tenant since the last call: the
  // seconds since it was made. Not those of before the start, nor those that have inherited
  // theirs.
  std::vector<double> take_exposures();

  // Readable when follow() has something to do.
  int poll_fd() const { return changes_.poll_fd(); }

  // Tenants that have a cgroup here, on one side of the policy.
  std::set<uint16_t> present(uint32_t side) const;

  size_t known() const { return tree_.size(); }
  // Cgroups without a tenant that are not merely on the way to one, at most `limit` paths.
  std::vector<std::string> unclassified(uint32_t side, size_t limit, size_t& total) const;

 private:
  uint16_t claimed_by(std::string_view path, uint32_t side) const {
    return sides_[side].claims->tenant_at(path);
  }
  Result<void> set_anchor(uint64_t id, uint32_t side, uint16_t tenant);
  Result<void> assign(const std::string& below);
  Result<void> rescan();

  struct Side {
    std::shared_ptr<const policy::CgroupClaims> claims =
        std::make_shared<const policy::CgroupClaims>();
    std::map<uint64_t, uint16_t> anchors;  // cgroup id -> tenant, as written
  };

  Options options_;
  source::CgroupTree tree_;
  TypedMap<uint64_t, abi::anchor> anchors_;
  std::array<Side, PARTYWALL_SIDES> sides_;
  RingReader changes_;
  std::unordered_map<uint64_t, uint64_t> unclaimed_;  // cgroup id -> when it was made, in ns
  std::vector<uint64_t> classified_;                  // when they were made, in ns
  // Filled by changes_; on the heap, because the ring keeps its address.
  std::unique_ptr<std::vector<abi::cgroup_change>> pending_;
  uint64_t lost_seen_ = 0;
  MappedArray<const abi::health> health_;
};

}  // namespace partywall::kernel

#endif
