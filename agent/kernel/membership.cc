// agent/kernel/membership.cc: anchors, and the walk that spreads them. Only writer of the map
// anchors.
#include "agent/kernel/membership.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unordered_set>

namespace partywall::kernel {
namespace {

uint64_t monotonic_ns() {
  timespec now{};

  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

bool is_below(std::string_view path, std::string_view root) {
  return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
}

}  // namespace

Result<Membership> Membership::start(Options options) {
  Membership membership;
  auto anchors =
      TypedMap<uint64_t, abi::anchor>::open(options.pin_root, "anchors", Access::kReadWrite);

  if (!anchors) return std::move(anchors.error());

  auto health = MappedArray<const abi::health>::open(options.pin_root, "health");

  if (!health) return std::move(health.error());
  membership.pending_ = std::make_unique<std::vector<abi::cgroup_change>>();
  auto changes = RingReader::open(
      options.pin_root, "changes",
      [pending = membership.pending_.get()](std::span<const std::byte> record) {
        if (record.size() < sizeof(abi::cgroup_change)) return;
        std::memcpy(&pending->emplace_back(), record.data(), sizeof(abi::cgroup_change));
      });

  if (!changes) return std::move(changes.error());
  membership.changes_ = std::move(*changes);
  membership.options_ = std::move(options);
  membership.anchors_ = std::move(*anchors);
  membership.health_ = std::move(*health);
  membership.lost_seen_ = membership.health_[0].changes_lost_total;
  if (auto scanned = membership.rescan(); !scanned) return std::move(scanned.error());
  return membership;
}

Result<void> Membership::rescan() {
  auto tree = source::walk_cgroups(options_.mount, options_.root);

  if (!tree) return std::move(tree.error());
  tree_ = std::move(*tree);
  return {};
}

Result<void> Membership::set_anchor(uint64_t id, uint32_t side, uint16_t tenant) {
  auto existing = anchors_.get(id);
  abi::anchor anchor = existing ? *existing : abi::anchor{};

  anchor.tenant[side] = tenant;
  if (tenant)
    sides_[side].anchors[id] = tenant;
  else
    sides_[side].anchors.erase(id);
  if (anchor.tenant[0] == TENANT_NONE && anchor.tenant[1] == TENANT_NONE)
    return anchors_.remove(id);
  return anchors_.put(id, anchor);
}

// Runs the kernel's walk from a cgroup down. It holds cgroup_mutex: no cgroup is made
// meanwhile.
Result<void> Membership::assign(const std::string& below) {
  Fd cgroup(open((options_.mount + below).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));

  if (!cgroup) {
    if (errno == ENOENT) return {};  // gone again
    return fail_errno(errno, "open cgroup {}", below);
  }
  bpf_iter_link_info where{};

  where.cgroup.order = BPF_CGROUP_ITER_DESCENDANTS_PRE;
  where.cgroup.cgroup_fd = static_cast<__u32>(cgroup.get());
  LIBBPF_OPTS(bpf_link_create_opts, options);
  options.iter_info = &where;
  options.iter_info_len = sizeof(where);

  Fd link(bpf_link_create(options_.assign_program_fd, 0, BPF_TRACE_ITER, &options));

  if (!link) return fail_errno(errno, "walk cgroups below {}", below);

  Fd walk(bpf_iter_create(link.get()));
  char nothing[64];

  if (!walk) return fail_errno(errno, "walk cgroups below {}", below);
  for (;;) {
    ssize_t got = read(walk.get(), nothing, sizeof(nothing));

    if (got == 0) return {};
    if (got < 0 && errno != EAGAIN && errno != EINTR)
      return fail_errno(errno, "walk cgroups below {}", below);
  }
}

Result<void> Membership::apply(uint32_t side,
                               std::shared_ptr<const policy::CgroupClaims> claims,
                               bool rebuild) {
  Side& target = sides_[side];

  target.claims = std::move(claims);
  if (rebuild) {
    auto written = anchors_.entries();

    if (!written) return std::move(written.error());
    target.anchors.clear();
    for (const auto& [id, anchor] : *written)
      if (anchor.tenant[side]) target.anchors[id] = anchor.tenant[side];
  }
  std::map<uint64_t, uint16_t> wanted;

  for (const auto& [path, id] : tree_)
    if (uint16_t tenant = claimed_by(path, side)) wanted[id] = tenant;

  bool changed = rebuild;

  for (const auto& [id, tenant] : std::map(target.anchors)) {
    if (wanted.contains(id)) continue;
    if (auto done = set_anchor(id, side, TENANT_NONE); !done) return done;
    changed = true;
  }
  for (const auto& [id, tenant] : wanted) {
    if (auto found = target.anchors.find(id);
        found != target.anchors.end() && found->second == tenant)
      continue;
    if (auto done = set_anchor(id, side, tenant); !done) return done;
    if (auto late = unclaimed_.find(id); late != unclaimed_.end()) {
      classified_.push_back(late->second);
      unclaimed_.erase(late);
    }
    changed = true;
  }
  return changed ? assign(options_.root) : Result<void>{};
}

std::vector<double> Membership::take_exposures() {
  std::vector<double> seconds;
  uint64_t now = monotonic_ns();

  for (uint64_t made : std::exchange(classified_, {}))
    seconds.push_back(static_cast<double>(now - made) / 1e9);
  return seconds;
}

Result<bool> Membership::follow(uint32_t side_in_force) {
  bool any = false;

  if (auto consumed = changes_.consume(); !consumed) return std::move(consumed.error());

  std::vector<abi::cgroup_change> changes = std::exchange(*pending_, {});

  for (const abi::cgroup_change& change : changes) {
    std::string path(change.path, strnlen(change.path, sizeof(change.path)));

    if (!is_below(path, options_.root)) continue;
    if (change.kind == abi::CGROUP_GONE) {
      if (auto found = tree_.find(path);
          found != tree_.end() && found->second == change.cgroup_id)
        tree_.erase(found);
      unclaimed_.erase(change.cgroup_id);
      for (uint32_t side = 0; side < PARTYWALL_SIDES; side++)
        if (sides_[side].anchors.contains(change.cgroup_id))
          if (auto done = set_anchor(change.cgroup_id, side, TENANT_NONE); !done)
            return std::move(done.error());
      continue;
    }
    tree_[path] = change.cgroup_id;
    if (change.tenant != TENANT_NONE) continue;  // inherited, from its first instruction

    uint16_t tenant = claimed_by(path, side_in_force);

    if (tenant == TENANT_NONE) {
      unclaimed_[change.cgroup_id] = change.time_ns;
      continue;
    }
    if (auto done = set_anchor(change.cgroup_id, side_in_force, tenant); !done)
      return std::move(done.error());
    if (auto done = assign(path); !done) return std::move(done.error());
    classified_.push_back(change.time_ns);
    any = true;
  }
  if (uint64_t lost = health_[0].changes_lost_total; lost != lost_seen_) {
    // The ring was full: what it would have told stands in the tree.
    lost_seen_ = lost;
    if (auto scanned = rescan(); !scanned) return std::move(scanned.error());

    bool changed = false;

    for (const auto& [path, id] : tree_) {
      uint16_t tenant = claimed_by(path, side_in_force);

      if (!tenant || sides_[side_in_force].anchors.contains(id)) continue;
      if (auto done = set_anchor(id, side_in_force, tenant); !done)
        return std::move(done.error());
      changed = any = true;
    }
    if (changed)
      if (auto done = assign(options_.root); !done) return std::move(done.error());
  }
  return any;
}

std::set<uint16_t> Membership::present(uint32_t side) const {
  std::set<uint16_t> tenants;

  for (const auto& [id, tenant] : sides_[side].anchors) tenants.insert(tenant);
  return tenants;
}

std::vector<std::string> Membership::unclassified(uint32_t side, size_t limit,
                                                  size_t& total) const {
  const policy::CgroupClaims& claims = *sides_[side].claims;
  std::unordered_set<std::string_view> open;

  for (const auto& [path, id] : tree_)
    if (path != options_.root && claims.tenant_of(path) == TENANT_NONE) open.insert(path);

  // A cgroup that holds claimed ones is a folder, not a workload.
  auto drop_above = [&](std::string_view path) {
    while (!open.empty() && path.size() > options_.root.size()) {
      path = path.substr(0, path.rfind('/'));
      open.erase(path);
    }
  };

  if (!open.empty())
    for (size_t i = 0; i < claims.paths(); i++) drop_above(claims.path(i));
  total = open.size();

  std::vector<std::string> paths(open.begin(), open.end());

  std::ranges::sort(paths);
  if (paths.size() > limit) paths.resize(limit);
  return paths;
}

}  // namespace partywall::kernel
