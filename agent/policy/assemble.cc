// agent/policy/assemble.cc: puts the files of a policy together, and finds what is wrong among
// them. Pure.
#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "agent/policy/assembler.h"
#include "agent/policy/cluster_network.h"
#include "agent/policy/suggest.h"

namespace partywall::policy {
namespace {

constexpr size_t kMaxProblems = 1000;
constexpr uint32_t kNowhere = UINT32_MAX;

using Files = std::vector<std::shared_ptr<const ParsedFile>>;

std::string place(const Position& at) {
  return fmt::format("{}:{}:{}", at.file, at.line, at.column);
}

std::string cgroup_field(const EntryPlace& entry) {
  return fmt::format("spec.members[{}].cgroup", entry.member);
}

std::string address_field(const EntryPlace& entry) {
  return fmt::format("spec.members[{}].addresses[{}]", entry.member, entry.entry);
}

template <typename T>
std::vector<std::string_view> names_of(const ByName<T>& all) {
  std::vector<std::string_view> names;

  for (const auto& [name, value] : all) names.push_back(name);
  return names;
}

std::string missing(std::string_view kind, const std::string& name,
                    const std::vector<std::string_view>& names) {
  std::string meant = did_you_mean(name, names);

  return fmt::format("there is no {} {}{} Define it, or write one that there is", kind, name,
                     meant.empty() ? "." : meant);
}

}  // namespace

bool Assembler::Claim::operator<(const Claim& other) const {
  return std::tuple(beginning(), file, document, entry) <
         std::tuple(other.beginning(), other.file, other.document, other.entry);
}

// What is the matter with the files that an assembler holds now, and the policy they make.
class Assembly {
 public:
  Assembly(Assembler& all, const std::vector<Infrastructure>& infrastructure,
           std::string_view managed_root)
      : all_(all), managed_root_(managed_root) {
    result_.policy.infrastructure = infrastructure;
  }

  // `gone`: files that were there the last time.
  ParsedPolicy run(const Files& gone);

 private:
  using Claim = Assembler::Claim;
  using Range = Assembler::Range;

  template <typename T>
  ByName<T> collect(const SortedRows<Assembler::Name>& names, std::string_view kind);
  void take_network();
  void forget_resolved(const Files& gone);
  void check_references();
  bool check_tier(const Tenant& tenant, const TenantPlaces& places);
  bool check_rules(const Tenant& tenant, const std::optional<std::vector<Rule>>& rules,
                   std::string_view list, std::string_view peers);
  void check_root();
  void check_cgroups();
  bool overlaps(const Claim& claim, const Claim& other) const;
  void check_addresses();
  void note_overlap(const Range& range, const Range& other);
  std::string owner(const Range& range) const;

  template <typename T, typename Row>
  const T& document(const Row& row) const {
    return std::get<T>(all_.files_[row.file]->documents[row.document]);
  }
  template <typename Row>
  const TenantPlaces& places(const Row& row) const {
    return all_.files_[row.file]->places[row.document];
  }
  template <typename Row>
  Position entry_at(const Row& row, const EntryPlace& entry) const {
    return {all_.files_[row.file]->name, entry.line, entry.column};
  }
  // Where a document's tenant stands in the policy; kNowhere: its name was taken already.
  template <typename Row>
  uint32_t& place_of(const Row& row) {
    return tenant_places_[first_document_[row.file] + row.document];
  }

  bool full() const { return result_.problems.size() >= kMaxProblems; }
  void note(Position at, std::string field, std::string message) {
    if (!full())
      result_.problems.push_back({std::move(at), std::move(field), std::move(message)});
  }

  Assembler& all_;
  std::string_view managed_root_;
  ParsedPolicy result_;
  std::vector<uint32_t> first_document_;  // of each file, among those of all files
  std::vector<uint32_t> tenant_places_;   // of all documents
};

// In the order of names, the first of each.
template <typename T>
ByName<T> Assembly::collect(const SortedRows<Assembler::Name>& names, std::string_view kind) {
  std::vector<std::shared_ptr<const T>> items;
  std::vector<uint32_t> hashes;
  const Assembler::Name* first = nullptr;

  items.reserve(names.size());
  hashes.reserve(names.size());
  for (const Assembler::Name& name : names) {
    if (first && first->hash == name.hash && first->text == name.text) {
      note(document<T>(name).at, "metadata.name",
           fmt::format("{} {} is already defined at {}: names are unique over all files", kind,
                       name.text, place(document<T>(*first).at)));
      continue;
    }
    first = &name;
    if constexpr (std::is_same_v<T, Tenant>)
      place_of(name) = static_cast<uint32_t>(items.size());
    items.emplace_back(all_.files_[name.file],
                       std::get_if<T>(&all_.files_[name.file]->documents[name.document]));
    hashes.push_back(name.hash);
  }
  return ByName<T>(std::move(items), hashes);
}

// When a name is not there any more, whoever used it must be found.
void Assembly::forget_resolved(const Files& gone) {
  auto is_there = [&](const auto& document) {
    if (const auto* tier = std::get_if<Tier>(&document))
      return result_.policy.tiers.contains(tier->name);
    return result_.policy.tenants.contains(std::get<Tenant>(document).name);
  };

  for (const auto& file : gone)
    if (!std::ranges::all_of(file->documents, is_there))
      all_.resolved_.assign(all_.files_.size(), false);
}

void Assembly::check_references() {
  for (uint32_t file = 0; file < all_.files_.size(); file++) {
    if (all_.resolved_[file]) continue;

    const ParsedFile& parsed = *all_.files_[file];
    bool resolved = true;

    for (uint32_t i = 0; i < parsed.documents.size(); i++) {
      const auto* tenant = std::get_if<Tenant>(&parsed.documents[i]);

      if (!tenant) continue;
      if (tenant_places_[first_document_[file] + i] == kNowhere) {
        resolved = false;  // it may be the first of its name the next time
        continue;
      }
      resolved &= check_tier(*tenant, parsed.places[i]);
      resolved &= check_rules(*tenant, tenant->ingress, "ingress", "from");
      resolved &= check_rules(*tenant, tenant->egress, "egress", "to");
    }
    all_.resolved_[file] = resolved;
  }
}

bool Assembly::check_tier(const Tenant& tenant, const TenantPlaces& places) {
  if (tenant.tier.empty()) return true;  // noted when its file was parsed
  if (result_.policy.tiers.contains(tenant.tier)) return true;
  if (!full())
    note(places.tier, "spec.tier",
         missing("tier", tenant.tier, names_of(result_.policy.tiers)));
  return false;
}

bool Assembly::check_rules(const Tenant& tenant, const std::optional<std::vector<Rule>>& rules,
                           std::string_view list, std::string_view peers) {
  bool resolved = true;

  for (size_t i = 0; rules && i < rules->size(); i++)
    for (size_t j = 0; j < (*rules)[i].peers.size(); j++) {
      const PeerSelector& peer = (*rules)[i].peers[j];

      if (peer.tenant.empty() || result_.policy.tenants.contains(peer.tenant)) continue;
      resolved = false;
      if (full()) return false;

      auto names = names_of(result_.policy.tenants);

      std::erase(names, tenant.name);
      note(peer.at, fmt::format("spec.network.{}[{}].{}[{}].tenant", list, i, peers, j),
           missing("tenant", peer.tenant, names));
    }
  return resolved;
}

void Assembly::check_root() {
  if (managed_root_.empty() || managed_root_ == "/") return;

  auto root = parse_cgroup_pattern(managed_root_);

  if (!root) {
    note({std::string(managed_root_)}, "", root.error().message());
    return;
  }
  for (const Claim& claim : all_.claims_) {
    if (claim.text.size() > managed_root_.size() && claim.text[managed_root_.size()] == '/' &&
        claim.text.starts_with(managed_root_))
      continue;
    if (place_of(claim) == kNowhere) continue;

    const EntryPlace& entry = places(claim).cgroups[claim.entry];

    note(entry_at(claim, entry), cgroup_field(entry),
         fmt::format("{} is not below the managed root: write {}/NAME", claim.text,
                     managed_root_));
  }
}

// `claim` begins with what `other` begins with.
bool Assembly::overlaps(const Claim& claim, const Claim& other) const {
  if (claim.literal() && other.literal())
    return claim.text.size() == other.text.size() || claim.text[other.text.size()] == '/';
  return overlap(document<Tenant>(claim).cgroups[claim.entry],
                 document<Tenant>(other).cgroups[other.entry]);
}

// Two patterns can only meet when what stands before the first star of one begins what stands
// before the first star of the other. Sorted by that text, those that begin it are a stack.
void Assembly::check_cgroups() {
  std::vector<const Claim*> open;

  for (const Claim& claim : all_.claims_) {
    if (place_of(claim) == kNowhere) continue;
    while (!open.empty() && !claim.beginning().starts_with(open.back()->beginning()))
      open.pop_back();
    for (const Claim* other : open) {
      if (full()) return;
      if (!overlaps(claim, *other)) continue;

      bool own = claim.file == other->file && claim.document == other->document;
      const EntryPlace& entry = places(claim).cgroups[claim.entry];

      note(
          entry_at(claim, entry), cgroup_field(entry),
          fmt::format("{} overlaps {} of {} at {}: a cgroup, with all below it, belongs to one "
                      "entry",
                      claim.text, other->text,
                      own ? "the same tenant" : "tenant " + document<Tenant>(*other).name,
                      place(entry_at(*other, places(*other).cgroups[other->entry]))));
      break;
    }
    open.push_back(&claim);
  }
}

// Of the infrastructure lane, a range has the file kNowhere.
std::string Assembly::owner(const Range& range) const {
  if (range.file == kNowhere) {
    const Infrastructure& lane = result_.policy.infrastructure[range.entry];

    return fmt::format("infrastructure {} at {}", lane.name, place(lane.at));
  }
  return fmt::format("tenant {} at {}", document<Tenant>(range).name,
                     place(entry_at(range, places(range).addresses[range.entry])));
}

void Assembly::note_overlap(const Range& range, const Range& other) {
  const Range& at = range.file == kNowhere ? other : range;  // the policy's side of it
  const Range& against = range.file == kNowhere ? range : other;
  const EntryPlace& entry = places(at).addresses[at.entry];

  note(entry_at(at, entry), address_field(entry),
       fmt::format("{} overlaps {} of {}: an address has one owner", to_string(at.prefix),
                   to_string(against.prefix), owner(against)));
}

// Sorted, every range stands right before what lies inside it.
void Assembly::check_addresses() {
  std::vector<Range> lane;
  std::vector<const Range*> open;
  auto visit = [&](const Range& range) {
    while (!open.empty() && !open.back()->prefix.contains(range.prefix)) open.pop_back();
    for (const Range* other : open) {
      if (other->file == range.file && other->document == range.document) continue;
      if (!full()) note_overlap(range, *other);
      break;
    }
    open.push_back(&range);
  };
  auto& owned = result_.policy.addresses;

  for (const Infrastructure& entry : result_.policy.infrastructure)
    lane.push_back({entry.cidr, kNowhere, 0, static_cast<uint32_t>(lane.size())});
  std::ranges::sort(lane);
  owned.reserve(all_.ranges_.size());

  auto next = lane.begin();

  for (const Range& range : all_.ranges_) {
    uint32_t tenant = place_of(range);

    if (tenant == kNowhere) continue;
    for (; next != lane.end() && next->prefix < range.prefix; ++next) visit(*next);
    visit(range);
    owned.push_back({range.prefix, tenant});
  }
  for (; next != lane.end(); ++next) visit(*next);
}

// The network, and the lane's services as entries of the lane.
void Assembly::take_network() {
  for (const auto& file : all_.files_) {
    if (!file->network) continue;
    if (result_.policy.network)
      note(file->network->at, "", "a second ClusterNetwork: there is one");
    else
      result_.policy.network = file->network;
  }
  if (!result_.policy.network) return;
  for (const Service& service : result_.policy.network->services) {
    if (service.lane.empty()) continue;

    std::vector<PortRange> ports;

    for (const ServicePort& port : service.ports)
      ports.push_back({port.protocol, port.port, port.port});
    for (const Prefix& address : service.addresses)
      result_.policy.infrastructure.push_back(
          {service.at, service.lane, address, abi::DIRECTION_EGRESS, ports});
  }
}

ParsedPolicy Assembly::run(const Files& gone) {
  uint32_t documents = 0;

  for (const auto& file : all_.files_) {
    result_.problems.insert(result_.problems.end(), file->problems.begin(),
                            file->problems.end());
    first_document_.push_back(documents);
    documents += static_cast<uint32_t>(file->documents.size());
  }
  tenant_places_.assign(documents, kNowhere);
  take_network();
  result_.policy.tiers = collect<Tier>(all_.tiers_, "tier");
  result_.policy.tenants = collect<Tenant>(all_.tenants_, "tenant");
  forget_resolved(gone);
  check_references();
  check_cgroups();
  check_root();
  check_addresses();
  std::ranges::stable_sort(result_.problems, {}, [](const Problem& problem) {
    return std::tuple(std::string_view(problem.at.file), problem.at.line, problem.at.column);
  });
  return std::move(result_);
}

// Brings the rows to these files. Returns those that are gone.
Files Assembler::update(const Files& files) {
  std::unordered_map<const ParsedFile*, uint32_t> known;
  std::vector<uint32_t> moves(files_.size(), kGone);
  std::vector<bool> resolved(files.size());
  std::vector<Name> tiers;
  std::vector<Name> tenants;
  std::vector<Claim> claims;
  std::vector<Range> ranges;
  Files gone;
  uint32_t next = 0;  // of the files before; those that stay must be in their order

  for (uint32_t i = 0; i < files_.size(); i++) known.emplace(files_[i].get(), i);
  for (uint32_t file = 0; file < files.size(); file++) {
    const ParsedFile& parsed = *files[file];

    if (auto found = known.find(&parsed); found != known.end() && found->second >= next) {
      moves[found->second] = file;
      resolved[file] = resolved_[found->second];
      next = found->second + 1;
      continue;
    }
    for (uint32_t i = 0; i < parsed.documents.size(); i++) {
      auto name = [&](const std::string& text) {
        return Name{text, file, i, NameIndex::hash_of(text)};
      };
      const auto* tenant = std::get_if<Tenant>(&parsed.documents[i]);

      if (!tenant) {
        tiers.push_back(name(std::get<Tier>(parsed.documents[i]).name));
        continue;
      }
      tenants.push_back(name(tenant->name));
      for (uint32_t j = 0; j < tenant->cgroups.size(); j++) {
        std::string text = to_string(tenant->cgroups[j]);
        size_t start = std::min(text.find('*'), text.size());

        claims.push_back({std::move(text), start, file, i, j});
      }
      for (uint32_t j = 0; j < tenant->addresses.size(); j++)
        ranges.push_back({tenant->addresses[j], file, i, j});
    }
  }
  tiers_.update(moves, std::move(tiers));
  tenants_.update(moves, std::move(tenants));
  claims_.update(moves, std::move(claims));
  ranges_.update(moves, std::move(ranges));
  for (uint32_t i = 0; i < files_.size(); i++)
    if (moves[i] == kGone) gone.push_back(std::move(files_[i]));
  files_ = files;
  resolved_ = std::move(resolved);
  return gone;
}

ParsedPolicy Assembler::assemble(const Files& files,
                                 const std::vector<Infrastructure>& infrastructure,
                                 std::string_view managed_root) {
  Files gone = update(files);

  return Assembly(*this, infrastructure, managed_root).run(gone);
}

ParsedPolicy assemble(const Files& files, const std::vector<Infrastructure>& infrastructure,
                      std::string_view managed_root) {
  return Assembler().assemble(files, infrastructure, managed_root);
}

}  // namespace partywall::policy
