// agent/policy/cgroup_pattern.h: which cgroups a member entry means. Pure.
#ifndef PARTYWALL_AGENT_POLICY_CGROUP_PATTERN_H
#define PARTYWALL_AGENT_POLICY_CGROUP_PATTERN_H

#include <string>
#include <string_view>
#include <vector>

#include "maps/result.h"

namespace partywall::policy {

// An absolute cgroup path below the cgroup2 root, segment by segment. In a segment, `*` stands
// for any run of characters but '/'; a segment `**` for any number of segments, none included.
// The pattern claims every cgroup whose path it matches, each with its whole subtree.
struct CgroupPattern {
  std::vector<std::string> segments;
  auto operator<=>(const CgroupPattern&) const = default;

  bool is_literal() const;                    // no `*` anywhere
  bool matches(std::string_view path) const;  // the very path
  bool covers(std::string_view path) const;   // the path or one of its ancestors
};

// Fails for relative paths, empty segments, "." and "..", and more than 32 segments.
Result<CgroupPattern> parse_cgroup_pattern(std::string_view text);
std::string to_string(const CgroupPattern& pattern);

// Whether some cgroup could be claimed by both: one path, or a path and one of its ancestors.
bool overlap(const CgroupPattern& a, const CgroupPattern& b);

}  // namespace partywall::policy

#endif
