// agent/policy/assemble.cc: puts the files of a policy together, and finds what is wrong among
// them. Pure.
#include <algorithm>
#include <unordered_map>

#include "agent/policy/parse.h"
#include "agent/policy/suggest.h"

namespace partywall::policy {
namespace {

constexpr size_t kMaxProblems = 1000;

// A tenant of the policy with where its parts were written.
struct Source {
  const Tenant* tenant;
  const TenantPlaces* places;
};

std::string place(const Position& at) {
  return fmt::format("{}:{}:{}", at.file, at.line, at.column);
}

class Assembly {
 public:
  Assembly(const std::vector<Infrastructure>& infrastructure, std::string_view managed_root)
      : managed_root_(managed_root) {
    result_.policy.infrastructure = infrastructure;
  }

  void add(const ParsedFile& file);
  ParsedPolicy finish();

 private:
  void add_tier(const Tier& tier);
  void add_tenant(const Tenant& tenant, const TenantPlaces& places);
  void check_tier(Tenant& tenant, const TenantPlaces& places);
  void check_rules(const Tenant& tenant, const std::vector<Rule>& rules, std::string_view list,
                   std::string_view peers);
  void check_cgroups();
  void check_root();
  void check_addresses();
  bool full() const { return result_.problems.size() >= kMaxProblems; }
  void note(Position at, std::string field, std::string message) {
    if (!full())
      result_.problems.push_back({std::move(at), std::move(field), std::move(message)});
  }

  std::string_view managed_root_;
  ParsedPolicy result_;
  std::vector<Source> sources_;
};

Position entry_at(const Source& source, const EntryPlace& entry) {
  return {source.tenant->at.file, entry.line, entry.column};
}

std::string cgroup_field(const EntryPlace& entry) {
  return fmt::format("spec.members[{}].cgroup", entry.member);
}

std::string address_field(const EntryPlace& entry) {
  return fmt::format("spec.members[{}].addresses[{}]", entry.member, entry.entry);
}

template <typename Map>
std::vector<std::string_view> names_of(const Map& map) {
  std::vector<std::string_view> names;

  for (const auto& [name, value] : map) names.push_back(name);
  return names;
}

void Assembly::add(const ParsedFile& file) {
  result_.problems.insert(result_.problems.end(), file.problems.begin(), file.problems.end());
  for (size_t i = 0; i < file.documents.size(); i++) {
    if (const auto* tier = std::get_if<Tier>(&file.documents[i]))
      add_tier(*tier);
    else
      add_tenant(std::get<Tenant>(file.documents[i]), file.places[i]);
  }
}

void Assembly::add_tier(const Tier& tier) {
  auto [entry, is_new] = result_.policy.tiers.emplace(tier.name, tier);

  if (!is_new)
    note(tier.at, "metadata.name",
         fmt::format("tier {} is already defined at {}: names are unique over all files",
                     tier.name, place(entry->second.at)));
}

void Assembly::add_tenant(const Tenant& tenant, const TenantPlaces& places) {
  auto [entry, is_new] = result_.policy.tenants.emplace(tenant.name, tenant);

  if (is_new)
    sources_.push_back({&tenant, &places});
  else
    note(tenant.at, "metadata.name",
         fmt::format("tenant {} is already defined at {}: names are unique over all files",
                     tenant.name, place(entry->second.at)));
}

// The tier's limits, with the tenant's own laid over them.
void Assembly::check_tier(Tenant& tenant, const TenantPlaces& places) {
  if (tenant.tier.empty()) return;  // noted when its file was parsed

  auto tier = result_.policy.tiers.find(tenant.tier);

  if (tier == result_.policy.tiers.end()) {
    auto names = names_of(result_.policy.tiers);
    std::string meant = did_you_mean(tenant.tier, names);

    note(places.tier, "spec.tier",
         fmt::format("there is no tier {}{} Define it, or write one that there is", tenant.tier,
                     meant.empty() ? "." : meant));
    return;
  }
  for (int direction = 0; direction < abi::DIRECTION_COUNT; direction++) {
    if (!tenant.limits.bytes[direction])
      tenant.limits.bytes[direction] = tier->second.limits.bytes[direction];
    if (!tenant.limits.packets[direction])
      tenant.limits.packets[direction] = tier->second.limits.packets[direction];
  }
}

void Assembly::check_rules(const Tenant& tenant, const std::vector<Rule>& rules,
                           std::string_view list, std::string_view peers) {
  for (size_t i = 0; i < rules.size(); i++)
    for (size_t j = 0; j < rules[i].peers.size(); j++) {
      const PeerSelector& peer = rules[i].peers[j];

      if (peer.tenant.empty() || result_.policy.tenants.contains(peer.tenant)) continue;

      auto names = names_of(result_.policy.tenants);

      std::erase(names, tenant.name);
      std::string meant = did_you_mean(peer.tenant, names);

      note(peer.at, fmt::format("spec.network.{}[{}].{}[{}].tenant", list, i, peers, j),
           fmt::format("there is no tenant {}{} Define it, or write one that there is",
                       peer.tenant, meant.empty() ? "." : meant));
    }
}

// Two patterns can only meet when what stands before the first star of one begins what stands
// before the first star of the other. Sorted by that text, those that begin it are a stack.
void Assembly::check_cgroups() {
  struct Claim {
    std::string start;
    const CgroupPattern* pattern;
    const EntryPlace* entry;
    const Source* source;
  };
  std::vector<Claim> claims;

  for (const Source& source : sources_)
    for (size_t i = 0; i < source.tenant->cgroups.size(); i++) {
      std::string text = to_string(source.tenant->cgroups[i]);

      text.resize(std::min(text.find('*'), text.size()));
      claims.push_back(
          {std::move(text), &source.tenant->cgroups[i], &source.places->cgroups[i], &source});
    }
  std::ranges::stable_sort(claims, {}, &Claim::start);

  std::vector<const Claim*> open;

  for (const Claim& claim : claims) {
    while (!open.empty() && !claim.start.starts_with(open.back()->start)) open.pop_back();
    for (const Claim* other : open) {
      if (full()) return;
      if (!overlap(*claim.pattern, *other->pattern)) continue;

      bool own = claim.source == other->source;

      note(
          entry_at(*claim.source, *claim.entry), cgroup_field(*claim.entry),
          fmt::format("{} overlaps {} of {} at {}: a cgroup, with all below it, belongs to one "
                      "entry",
                      to_string(*claim.pattern), to_string(*other->pattern),
                      own ? "the same tenant" : "tenant " + other->source->tenant->name,
                      place(entry_at(*other->source, *other->entry))));
      break;
    }
    open.push_back(&claim);
  }
}

void Assembly::check_root() {
  if (managed_root_.empty() || managed_root_ == "/") return;

  auto root = parse_cgroup_pattern(managed_root_);

  if (!root) {
    note({std::string(managed_root_)}, "", root.error().message());
    return;
  }
  for (const Source& source : sources_)
    for (size_t i = 0; i < source.tenant->cgroups.size(); i++) {
      const auto& segments = source.tenant->cgroups[i].segments;

      if (segments.size() > root->segments.size() &&
          std::equal(root->segments.begin(), root->segments.end(), segments.begin()))
        continue;
      note(entry_at(source, source.places->cgroups[i]), cgroup_field(source.places->cgroups[i]),
           fmt::format("{} is not below the managed root: write {}/NAME",
                       to_string(source.tenant->cgroups[i]), managed_root_));
    }
}

// Sorted, every range stands right before what lies inside it.
void Assembly::check_addresses() {
  struct Range {
    Prefix prefix;
    const Source* source;  // null: infrastructure
    size_t index;
  };
  std::vector<Range> ranges;
  const auto& lane = result_.policy.infrastructure;

  for (const Source& source : sources_)
    for (size_t i = 0; i < source.tenant->addresses.size(); i++)
      ranges.push_back({source.tenant->addresses[i], &source, i});
  for (size_t i = 0; i < lane.size(); i++) ranges.push_back({lane[i].cidr, nullptr, i});
  std::ranges::stable_sort(ranges, {}, &Range::prefix);

  auto owner = [&](const Range& range) {
    if (!range.source)
      return fmt::format("infrastructure {} at {}", lane[range.index].name,
                         place(lane[range.index].at));
    return fmt::format(
        "tenant {} at {}", range.source->tenant->name,
        place(entry_at(*range.source, range.source->places->addresses[range.index])));
  };
  std::vector<const Range*> open;

  for (const Range& range : ranges) {
    while (!open.empty() && !open.back()->prefix.contains(range.prefix)) open.pop_back();
    for (const Range* other : open) {
      if (other->source == range.source) continue;
      if (full()) return;

      const Range& at = range.source ? range : *other;  // the policy's side of it
      const Range& against = range.source ? *other : range;

      note(entry_at(*at.source, at.source->places->addresses[at.index]),
           address_field(at.source->places->addresses[at.index]),
           fmt::format("{} overlaps {} of {}: an address has one owner", to_string(at.prefix),
                       to_string(against.prefix), owner(against)));
      break;
    }
    open.push_back(&range);
  }
}

ParsedPolicy Assembly::finish() {
  for (const Source& source : sources_) {
    Tenant& tenant = result_.policy.tenants.find(source.tenant->name)->second;

    check_tier(tenant, *source.places);
    if (tenant.ingress) check_rules(tenant, *tenant.ingress, "ingress", "from");
    if (tenant.egress) check_rules(tenant, *tenant.egress, "egress", "to");
  }
  check_cgroups();
  check_root();
  check_addresses();
  std::ranges::stable_sort(result_.problems, {}, [](const Problem& problem) {
    return std::tuple(std::string_view(problem.at.file), problem.at.line, problem.at.column);
  });
  return std::move(result_);
}

}  // namespace

ParsedPolicy assemble(const std::vector<std::shared_ptr<const ParsedFile>>& files,
                      const std::vector<Infrastructure>& infrastructure,
                      std::string_view managed_root) {
  Assembly assembly(infrastructure, managed_root);

  for (const auto& file : files) assembly.add(*file);
  return assembly.finish();
}

}  // namespace partywall::policy
