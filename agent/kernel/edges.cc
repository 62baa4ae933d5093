// agent/kernel/edges.cc: keeps interfaces, rows and programs equal to what netlink tells.
#include "agent/kernel/edges.h"

#include <bpf/bpf.h>
#include <fnmatch.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <set>

#include "maps/abi/members.h"

namespace partywall::kernel {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array kPrograms = {"edge_egress", "edge_ingress"};
// The workload's egress is what comes in at the host's end.
constexpr std::array kHooks = {TcHook::kIngress, TcHook::kEgress};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

bool is_named(std::string_view name, std::string_view pattern) {
  return fnmatch(std::string(pattern).c_str(), std::string(name).c_str(), FNM_NOESCAPE) == 0;
}

Result<Edges> Edges::open(EdgeOptions options, bpf_object* object, std::string pin_root) {
  Edges edges;
  auto watch = LinkWatch::open();
  auto rows = MappedArray<abi::interface>::open(pin_root, "interfaces");

  if (!watch) return std::move(watch.error());
  if (!rows) return std::move(rows.error());
  for (size_t i = 0; i < kPrograms.size(); i++) {
    bpf_prog_info info{};
    __u32 size = sizeof(info);

    edges.programs_[i] = bpf_object__find_program_by_name(object, kPrograms[i]);
    if (bpf_obj_get_info_by_fd(bpf_program__fd(edges.programs_[i]), &info, &size))
      return fail_errno(errno, "ask about program {}", kPrograms[i]);
    edges.program_ids_[i] = info.id;
  }
  edges.options_ = std::move(options);
  edges.pin_root_ = std::move(pin_root);
  edges.watch_ = std::move(*watch);
  edges.rows_ = std::move(*rows);
  edges.table_ = InterfaceTable(edges.rows_.rows());
  return edges;
}

bool Edges::is_wanted(std::string_view name) const {
  auto names = [&](const std::string& pattern) { return is_named(name, pattern); };

  if (std::ranges::any_of(options_.names, names)) return true;
  return std::ranges::any_of(claims_, [&](const Claims& side) {
    return std::ranges::any_of(side, [&](const auto& claim) { return names(claim.first); });
  });
}

uint16_t Edges::claimed_by(std::string_view name, uint32_t side) const {
  uint16_t owner = TENANT_NONE;

  for (const auto& [pattern, tenant] : claims_[side]) {
    if (tenant == owner || !is_named(name, pattern)) continue;
    if (owner != TENANT_NONE) return TENANT_NONE;
    owner = tenant;
  }
  return owner;
}

void Edges::apply(uint32_t side, Claims claims) {
  claims_[side] = std::move(claims);
  for (const auto& [ifindex, edge] : edges_)
    if (abi::interface* row = table_.find(ifindex))
      InterfaceTable::give(*row, side, claimed_by(edge.name, side));
}

Result<void> Edges::attach_programs(uint32_t ifindex, Attached& edge) {
  for (size_t i = 0; i < kPrograms.size(); i++) {
    auto done =
        attach_to_interface(programs_[i], ifindex, kHooks[i], options_.order, pin_root_);

    if (!done) return std::move(done.error());
    edge.programs[i] = std::move(*done);
  }
  return {};
}

// The row first: a program that finds none lets everything pass.
EdgeNews Edges::attach(const LinkNews& link, uint32_t more) {
  auto start = Clock::now();
  EdgeNews news{
      .name = link.name, .ifindex = link.ifindex, .seconds = 0, .unjudged = 0, .trouble = ""};
  Attached edge{.name = link.name, .has_link_header = link.has_link_header, .programs = {}};
  abi::interface* row = table_.find(link.ifindex);

  // A row may be of the time before it was a workload's; one that an earlier agent made, of an
  // interface that is gone and had this number.
  if (row && !is_pinned_to(kPrograms[0], link.ifindex, kHooks[0], options_.order, pin_root_)) {
    table_.remove(link.ifindex);
    row = nullptr;
  }
  if (!row) {
    uint32_t flags = more | (link.packets == 0 ? INTERFACE_STRICT : 0) |
                     (link.has_link_header ? 0 : INTERFACE_NO_LINK);
    auto added = table_.add(link.ifindex, flags);

    if (!added) {
      news.trouble = added.error().message();
      return news;
    }
    row = *added;
  }
  for (uint32_t side = 0; side < PARTYWALL_SIDES; side++)
    InterfaceTable::give(*row, side, claimed_by(link.name, side));
  if (auto done = attach_programs(link.ifindex, edge); !done) {
    // Gone again before it was attached: nothing to tell.
    if (done.error().errno_value() != ENODEV) news.trouble = done.error().message();
    table_.remove(link.ifindex);
    return news;
  }
  edges_[link.ifindex] = std::move(edge);
  news.seconds = seconds_since(start);
  news.unjudged = link.packets;
  return news;
}

// No workload's: what comes over it may reach workloads, as their rules say.
void Edges::note_host_interface(const LinkNews& link) {
  abi::interface* row = table_.find(link.ifindex);

  if (row && row->flags & INTERFACE_HOST) return;
  if (row) let_go(link.ifindex);
  // Without a row nothing that comes over it reaches a workload; the next look tries again.
  static_cast<void>(table_.add(link.ifindex, INTERFACE_HOST));
}

void Edges::let_go(uint32_t ifindex) {
  for (size_t i = 0; i < kPrograms.size(); i++)
    detach_from_interface(kPrograms[i], ifindex, kHooks[i], options_.order, pin_root_);
  edges_.erase(ifindex);
  table_.remove(ifindex);
}

Result<std::vector<EdgeNews>> Edges::attach_all(bool start) {
  auto links = watch_.all();
  std::vector<EdgeNews> news;
  std::set<uint32_t> there;

  if (!links) return std::move(links.error());
  if (start)
    for (const LinkNews& link : *links)
      if (!table_.find(link.ifindex))
        static_cast<void>(table_.add(link.ifindex, INTERFACE_HOST));
  for (const LinkNews& link : *links) {
    there.insert(link.ifindex);
    if (!is_wanted(link.name)) {
      note_host_interface(link);
      continue;
    }

    auto known = edges_.find(link.ifindex);

    if (known != edges_.end() && known->second.name == link.name) continue;
    news.push_back(attach(link, start ? INTERFACE_HOST : 0));
  }
  for (const auto& [ifindex, edge] : edges_)
    if (abi::interface* row = table_.find(ifindex); row && start)
      std::atomic_ref(row->flags).fetch_and(~INTERFACE_HOST, std::memory_order_release);
  for (const abi::interface& row : rows_.rows()) {
    uint32_t ifindex = row.ifindex;

    if (ifindex != 0 && !there.contains(ifindex)) let_go(ifindex);
  }
  return news;
}

Result<std::vector<EdgeNews>> Edges::follow() {
  auto links = watch_.news();

  if (!links && links.error().errno_value() == ENOBUFS) return attach_all();
  if (!links) return std::move(links.error());

  std::vector<EdgeNews> news;

  for (const LinkNews& link : *links) {
    auto known = edges_.find(link.ifindex);

    if (link.gone) {
      if (known != edges_.end() || table_.find(link.ifindex)) let_go(link.ifindex);
    } else if (known != edges_.end()) {
      if (known->second.name == link.name) continue;
      // Renamed: another pattern may hold now. What is bound by its packets stays so.
      known->second.name = link.name;
      if (!is_wanted(link.name)) {
        note_host_interface(link);
        continue;
      }
      for (uint32_t side = 0; side < PARTYWALL_SIDES; side++)
        if (abi::interface* row = table_.find(link.ifindex))
          InterfaceTable::give(*row, side, claimed_by(link.name, side));
    } else if (is_wanted(link.name)) {
      news.push_back(attach(link));
    } else {
      note_host_interface(link);
    }
  }
  return news;
}

Result<std::vector<std::string>> Edges::repair() {
  std::vector<std::string> repaired;
  auto missed = attach_all();

  if (!missed) return std::move(missed.error());
  for (auto& [ifindex, edge] : edges_)
    for (size_t i = 0; i < kPrograms.size(); i++) {
      if (is_attached(edge.programs[i], ifindex, kHooks[i], options_.order, program_ids_[i]))
        continue;

      auto done =
          attach_to_interface(programs_[i], ifindex, kHooks[i], options_.order, pin_root_);

      if (!done && done.error().errno_value() == ENODEV) continue;  // netlink will tell
      if (!done) return std::move(done.error());
      edge.programs[i] = std::move(*done);
      repaired.emplace_back(kPrograms[i]);
    }
  return repaired;
}

std::vector<Edge> Edges::all() const {
  std::vector<Edge> edges;

  for (const auto& [ifindex, edge] : edges_)
    edges.push_back({.ifindex = ifindex,
                     .name = edge.name,
                     .tenant = TENANT_NONE,
                     .tcx = static_cast<bool>(edge.programs[0].link)});
  return edges;
}

size_t Edges::bound(uint32_t side) const {
  return static_cast<size_t>(std::ranges::count_if(edges_, [&](const auto& entry) {
    const abi::interface* row = table_.find(entry.first);

    return row && (row->cgroup_id != 0 || row->tenant[side] != TENANT_NONE);
  }));
}

}  // namespace partywall::kernel
