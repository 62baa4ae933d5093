// agent/kernel/datapath.cc: opens, switches and attaches the datapath. Only writer of the map
// control.
#include "agent/kernel/datapath.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <iterator>
#include <set>

#include "agent/kernel/syscall_table.h"
#include "agent/source/cgroup_tree.h"
#include "maps/pins.h"

namespace partywall::kernel {
namespace {

constexpr std::array kPacketPrograms = {"packet_ingress", "packet_egress"};
constexpr std::array kCallPrograms = {"call_connect4", "call_connect6", "call_sendmsg4",
                                      "call_sendmsg6", "call_bind4",    "call_bind6"};
constexpr const char* kPacingProgram = "tcp_pace";
constexpr std::array kTracingPrograms = {"cgroup_made", "cgroup_gone"};
constexpr const char* kSyscallProgram = "syscall_enter";

uint64_t unix_ns() {
  timespec now{};

  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint32_t depth_of(std::string_view root) {
  return static_cast<uint32_t>(std::ranges::count(root, '/'));
}

// Returns once no program still runs that began before the call: programs are RCU readers, and
// the global barrier is one grace period.
void wait_for_programs() { syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0); }

Result<void> make_folder(const std::string& path) {
  if (mkdir(path.c_str(), 0700) && errno != EEXIST) return fail_errno(errno, "make {}", path);
  return {};
}

// A tenant's number must not become another's where the edge writes it down in fewer bits.
Result<void> check_edge(const DatapathOptions& options) {
  constexpr uint32_t kMostStamped = 0x8000;  // bpf/lib/stamp.h
  uint32_t mask = options.edge.mark_mask;
  uint32_t most = mask == 0 ? 0 : mask >> std::countr_zero(mask);

  if (mask != 0 && most < options.max_tenants - 1)
    return fail(
        "--edge-mark-mask {:#x} has room for {} tenants and --max-tenants is {}: write more "
        "bits, "
        "fewer tenants, or 0 for no mark",
        mask, most, options.max_tenants);
  if (!options.edge.names.empty() && options.max_tenants > kMostStamped)
    return fail("--edge-interfaces goes with --max-tenants of at most {}, which is {}",
                kMostStamped, options.max_tenants);
  return {};
}

}  // namespace

Result<std::unique_ptr<Datapath>> Datapath::open(const DatapathOptions& options) {
  if (auto fits = check_edge(options); !fits) return std::move(fits.error());

  std::unique_ptr<Datapath> datapath(new Datapath);

  datapath->options_ = options;
  capture_libbpf_log();
  if (auto locked = datapath->take_lock(); !locked) return std::move(locked.error());

  std::string root = options.cgroup_mount + options.managed_root;

  if (mkdir(root.c_str(), 0755) && errno != EEXIST)
    return fail_errno(errno, "make the managed root {}", root);
  datapath->root_ = Fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!datapath->root_) return fail_errno(errno, "open the managed root {}", root);
  if (auto fits = datapath->check_schema(); !fits) return std::move(fits.error());
  if (auto loaded = datapath->load(); !loaded) return std::move(loaded.error());
  if (auto started = datapath->start_control(); !started) return std::move(started.error());

  auto sides = Sides::open(options.pin_root);

  if (!sides) return std::move(sides.error());
  datapath->sides_ = std::make_unique<Sides>(std::move(*sides));

  int assign_program = -1;

  for (auto& [name, object] : datapath->objects_) {
    if (name != "tenancy") continue;
    for (const char* program : kTracingPrograms) {
      auto link = attach_tracing(bpf_object__find_program_by_name(object.get(), program),
                                 options.pin_root);

      if (!link) return std::move(link.error());
      datapath->links_.push_back(std::move(*link));
    }
    assign_program =
        bpf_program__fd(bpf_object__find_program_by_name(object.get(), "assign_members"));
  }
  auto membership = Membership::start({.pin_root = options.pin_root,
                                       .mount = options.cgroup_mount,
                                       .root = options.managed_root,
                                       .assign_program_fd = assign_program});

  if (!membership) return std::move(membership.error());
  datapath->membership_ = std::make_unique<Membership>(std::move(*membership));
  if (auto opened = datapath->open_edges(); !opened) return std::move(opened.error());
  // The agent before this one may have changed sides a moment ago.
  datapath->left_ = std::async(wait_for_programs);
  return datapath;
}

Result<void> Datapath::take_lock() {
  const std::string& root = options_.pin_root;
  std::string parent = root.substr(0, root.rfind('/'));
  struct statfs file_system {};

  if (statfs(parent.c_str(), &file_system) || file_system.f_type != BPF_FS_MAGIC)
    return fail("{} is not on a BPF file system; mount one: mount -t bpf -o mode=0700 bpf {}",
                root, parent);
  if (auto made = make_pin_folders(); !made) return made;
  lock_ = Fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock_) return fail_errno(errno, "open {}", root);
  if (flock(lock_.get(), LOCK_EX | LOCK_NB))
    return fail(
        "another partywalld enforces with the pins in {}; stop it first, or give this "
        "one its own --bpffs and --cgroup-root",
        root);
  return {};
}

Result<void> Datapath::make_pin_folders() {
  for (const char* folder : {"", "/maps", "/links", "/flows", "/programs"})
    if (auto made = make_folder(options_.pin_root + folder); !made) return made;
  return {};
}

Result<void> Datapath::check_schema() const {
  auto control = MappedArray<const abi::control>::open(options_.pin_root, "control");

  if (!control) {
    if (control.error().errno_value() == ENOENT) return {};
    return std::move(control.error()).within("the pins are of another version");
  }

  const abi::control& row = (*control)[0];

  if (row.schema == 0) return {};  // made, but its agent died before it was filled in
  if (row.schema != PARTYWALL_SCHEMA)
    return fail(
        "the pins in {} have schema {}, this agent knows {}: what they enforce stays in "
        "force; run the agent that made them, or partywall uninstall first",
        options_.pin_root, row.schema, PARTYWALL_SCHEMA);
  if (row.max_tenants != options_.max_tenants)
    return fail(
        "the pins in {} were made with --max-tenants {}; use that, or partywall uninstall "
        "first",
        options_.pin_root, row.max_tenants);
  return {};
}

Result<void> Datapath::load() {
  Sizes sizes{.max_tenants = options_.max_tenants,
              .cpus = static_cast<uint32_t>(libbpf_num_possible_cpus())};

  for (const ObjectSpec& spec : object_specs()) {
    if (spec.name == "syscalls" && !options_.count_syscalls) continue;

    auto object = load_object(spec, options_.pin_root, sizes);

    bool needed = spec.needed || (spec.name == "edge" && !options_.edge.names.empty());

    if (!object && needed) return std::move(object.error());
    if (!object) {
      if (spec.name == "syscalls") syscalls_refused_ = object.error().message();
      continue;
    }
    objects_.emplace_back(spec.name, std::move(*object));
  }
  return {};
}

Result<void> Datapath::start_control() {
  auto control = MappedArray<abi::control>::open(options_.pin_root, "control");
  auto health = MappedArray<const abi::health>::open(options_.pin_root, "health");
  auto names = MappedArray<abi::tenant_name>::open(options_.pin_root, "tenant_names");
  auto counters = TypedMap<uint32_t, abi::tenant_counters>::open(options_.pin_root, "counters",
                                                                 Access::kReadWrite);
  auto id = source::cgroup_id(options_.cgroup_mount + options_.managed_root);

  if (!control) return std::move(control.error());
  if (!health) return std::move(health.error());
  if (!names) return std::move(names.error());
  if (!counters) return std::move(counters.error());
  if (!id) return std::move(id.error());
  control_ = std::move(*control);
  health_ = std::move(*health);
  names_ = std::move(*names);
  counters_ = std::move(*counters);

  abi::control& row = control_[0];

  if (row.secret == 0 &&
      getrandom(&row.secret, sizeof(row.secret), 0) != static_cast<ssize_t>(sizeof(row.secret)))
    return fail_errno(errno, "draw a random number");
  row.max_tenants = options_.max_tenants;
  row.cpus = static_cast<uint32_t>(libbpf_num_possible_cpus());
  row.root_cgroup_id = *id;
  row.root_level = depth_of(options_.managed_root);
  row.mark_mask = options_.edge.mark_mask;
  row.schema = PARTYWALL_SCHEMA;
  return {};
}

policy::Numbers Datapath::numbers() const {
  std::vector<std::pair<std::string, uint16_t>> tenants;

  for (uint32_t number = 1; number < options_.max_tenants; number++)
    if (names_[number].name[0])
      tenants.emplace_back(names_[number].name, static_cast<uint16_t>(number));
  return {.tenants = policy::FlatMap(std::move(tenants)), .zones = {}, .port_sets = {}};
}

Result<Applied> Datapath::apply(ImagePtr image) {
  auto start = std::chrono::steady_clock::now();
  uint32_t side = side_in_force() ^ 1;
  bool rebuild = sides_->unknown(side);

  // What happened to cgroups so far must be known before their claims are worked out.
  if (auto followed = membership_->follow(side_in_force()); !followed)
    return std::move(followed.error());

  // From here on no program knows what the side held, nor the numbers that it gave out.
  if (left_.valid()) left_.get();
  if (auto named = name_rows(*image); !named) return std::move(named.error());

  auto written = sides_->write(side, image);

  if (!written) return std::move(written.error());
  if (auto claimed = membership_->apply(side, {image, &image->cgroups}, rebuild); !claimed)
    return std::move(claimed.error());

  images_[side] = image;
  if (edges_) edges_->apply(side, image->interfaces);
  if (auto made = make_flow_tables(side); !made) return std::move(made.error());

  abi::control& row = control_[0];

  row.generation++;
  row.enforced_at_unix_ns = unix_ns();
  std::atomic_ref(row.side).store(side, std::memory_order_seq_cst);

  Applied applied{.generation = row.generation, .written = *written, .seconds = 0};

  applied.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  // A grace period takes tens of milliseconds: the next image is read and compiled meanwhile.
  left_ = std::async(wait_for_programs);
  release_numbers(*image);
  // The policy may name interfaces that nobody looked at before.
  if (edges_ && is_attached_) {
    auto news = edges_->attach_all();

    if (!news) return std::move(news.error());
    std::ranges::move(*news, std::back_inserter(edge_news_));
  }

  bool paces = std::ranges::any_of(
      image->tenants, [](const auto& entry) { return entry.second.flags & TENANT_PACED; });

  if (std::exchange(paces_, paces) != paces && is_attached_)
    if (auto done = attach_pacing(); !done) return std::move(done.error());
  return applied;
}

// A number with a new owner starts its counters and name afresh; one that lost its owner, its
// system calls.
Result<void> Datapath::name_rows(const policy::Image& image) {
  static constexpr abi::tenant_counters kNothing{};
  std::vector<bool> gone(options_.max_tenants);
  bool forget = std::exchange(released_, false);

  for (uint32_t number = 1; number < options_.max_tenants; number++)
    gone[number] = !names_[number].name[0];
  for (const auto& [name, number] : image.numbers.tenants) {
    abi::tenant_name& row = names_[number];

    if (name == row.name) continue;
    forget |= row.name[0] != 0;
    gone[number] = true;
    if (flow_tables_)
      if (auto dropped = flow_tables_->drop(number); !dropped) return dropped;
    // One row for each CPU, and one that all of them share.
    for (uint32_t cpu = 0; cpu <= control_[0].cpus; cpu++)
      if (auto zeroed = counters_.put(cpu * options_.max_tenants + number, kNothing); !zeroed)
        return zeroed;
    std::memset(&row, 0, sizeof(row));
    std::memcpy(row.name, name.data(), std::min(name.size(), sizeof(row.name) - 1));
  }
  return forget ? forget_syscalls(options_.pin_root, gone) : Result<void>{};
}

// Forgets the names of tenants that no policy holds any more: their series end.
void Datapath::release_numbers(const policy::Image& image) {
  std::vector<bool> used(options_.max_tenants);

  for (const auto& [name, number] : image.numbers.tenants) used[number] = true;
  for (uint32_t number = 1; number < options_.max_tenants; number++)
    if (!used[number] && names_[number].name[0]) {
      names_[number] = {};
      released_ = true;
    }
}

Result<void> Datapath::open_edges() {
  for (auto& [name, object] : objects_) {
    if (name != "edge") continue;

    auto edges = Edges::open(options_.edge, object.get(), options_.pin_root);
    auto tables = FlowTables::open(options_.pin_root);

    if (!edges) return std::move(edges.error());
    if (!tables) return std::move(tables.error());
    edges_ = std::make_unique<Edges>(std::move(*edges));
    flow_tables_ = std::make_unique<FlowTables>(std::move(*tables));
  }
  return {};
}

bool Datapath::uses_edges() const {
  if (!edges_ || !options_.edge.names.empty()) return edges_ != nullptr;
  return std::ranges::any_of(
      images_, [](const ImagePtr& one) { return one && !one->interfaces.empty(); });
}

// A tenant that has a workload here has a table: before its first packet, as its cgroup is made
// before.
Result<void> Datapath::make_flow_tables(uint32_t side) {
  if (!uses_edges() || !images_[side]) return {};

  const policy::Image& image = *images_[side];
  std::set<uint16_t> present = membership_->present(side);

  for (const auto& [pattern, tenant] : image.interfaces) present.insert(tenant);
  for (uint16_t tenant : present)
    if (auto row = image.tenants.find(tenant); row != image.tenants.end())
      if (auto made = flow_tables_->need(tenant, row->second.flows); !made) return made;
  return {};
}

Result<void> Datapath::follow_cgroups() {
  auto any = membership_->follow(side_in_force());
  if (!any) return std::move(any.error());

  return *any ? make_flow_tables(side_in_force()) : Result<void>{};
}

Result<std::vector<EdgeNews>> Datapath::follow_interfaces() {
  auto news = edges_->follow();

  if (!news) return news;
  std::ranges::move(*news, std::back_inserter(edge_news_));
  return std::exchange(edge_news_, {});
}

// Where no tenant has a rate to be paced to, no connection pays for asking.
Result<void> Datapath::attach_pacing() {
  std::erase_if(links_, [](const Link& link) { return link.name == kPacingProgram; });
  if (!paces_) return detach(kPacingProgram, options_.pin_root);
  for (auto& [name, object] : objects_) {
    if (name != "pacing") continue;

    auto link = attach_to_cgroup(bpf_object__find_program_by_name(object.get(), kPacingProgram),
                                 root_.get(), control_[0].root_cgroup_id, options_.pin_root);

    if (!link) return std::move(link.error());
    links_.push_back(std::move(*link));
  }
  return {};
}

Result<void> Datapath::attach() {
  std::vector<Link> links;
  uint64_t root_id = control_[0].root_cgroup_id;
  auto attach_all = [&](bpf_object* object, auto& programs) -> Result<void> {
    for (const char* name : programs) {
      auto link = attach_to_cgroup(bpf_object__find_program_by_name(object, name), root_.get(),
                                   root_id, options_.pin_root);

      if (!link) return std::move(link.error());
      links.push_back(std::move(*link));
    }
    return {};
  };

  for (auto& [name, object] : objects_) {
    Result<void> done;

    if (name == "packets") done = attach_all(object.get(), kPacketPrograms);
    if (name == "sockets") done = attach_all(object.get(), kCallPrograms);
    if (!done) return done;
    if (name != "syscalls" || counts_syscalls_) continue;

    auto link = attach_tracing(bpf_object__find_program_by_name(object.get(), kSyscallProgram),
                               options_.pin_root);

    if (!link) {
      syscalls_refused_ = link.error().message();
      continue;
    }
    counts_syscalls_ = true;
    links_.push_back(std::move(*link));
  }
  if (!options_.count_syscalls)
    if (auto off = detach(kSyscallProgram, options_.pin_root); !off) return off;

  // Replace the links held from before; the tracing ones stay.
  std::erase_if(links_, [&](const Link& held) {
    return std::ranges::any_of(links,
                               [&](const Link& fresh) { return fresh.name == held.name; });
  });
  for (Link& link : links) links_.push_back(std::move(link));
  is_attached_ = true;
  if (edges_) {
    auto news = edges_->attach_all(true);

    if (!news) return std::move(news.error());
    for (const EdgeNews& one : *news)
      if (!one.trouble.empty())
        return fail("attach to interface {}: {}", one.name, one.trouble);
    std::ranges::move(*news, std::back_inserter(edge_news_));
  }
  return attach_pacing();
}

Result<std::vector<std::string>> Datapath::repair() {
  std::vector<std::string> repaired;
  struct stat locked {};
  struct stat there {};

  // The folder itself may be gone: then the lock is on nothing that the next agent would find.
  if (fstat(lock_.get(), &locked) || stat(options_.pin_root.c_str(), &there) ||
      locked.st_ino != there.st_ino)
    if (auto taken = take_lock(); !taken) return std::move(taken.error());
  if (auto made = make_pin_folders(); !made) return std::move(made.error());
  for (auto& [name, object] : objects_) {
    auto pinned = pin_maps_again(object.get(), options_.pin_root);

    if (!pinned) return std::move(pinned.error());
    for (std::string& map : *pinned) repaired.push_back(std::move(map));
  }

  size_t held = links_.size();
  auto is_dead = [&](const Link& link) {
    bool tracing = std::ranges::find(kTracingPrograms, link.name) != kTracingPrograms.end() ||
                   link.name == kSyscallProgram;

    return !is_alive(link, program_id(link.name), tracing ? 0 : control_[0].root_cgroup_id);
  };

  for (const Link& link : links_) {
    if (is_dead(link)) {
      repaired.push_back(link.name);
      continue;
    }
    auto pinned = pin_again(link, options_.pin_root);

    if (!pinned) return std::move(pinned.error());
    if (*pinned) repaired.push_back(link.name);
  }
  std::erase_if(links_, is_dead);
  if (edges_ && is_attached_) {
    auto edges = edges_->repair();

    if (!edges) return std::move(edges.error());
    std::ranges::move(*edges, std::back_inserter(repaired));
  }
  if (links_.size() == held) return repaired;
  if (auto attached = attach(); !attached) return std::move(attached.error());
  return repaired;
}

// 0 when there is no such program.
uint32_t Datapath::program_id(std::string_view program) const {
  bpf_prog_info info{};
  __u32 size = sizeof(info);

  return bpf_obj_get_info_by_fd(program_fd(program), &info, &size) ? 0 : info.id;
}

int Datapath::program_fd(std::string_view program) const {
  for (const auto& [name, object] : objects_)
    if (bpf_program* found =
            bpf_object__find_program_by_name(object.get(), std::string(program).c_str()))
      return bpf_program__fd(found);
  return -1;
}

uint64_t Datapath::map_memory_bytes() const {
  uint64_t total = 0;

  for (std::string_view name : kMapNames) {
    auto fd = open_map(options_.pin_root, name, Access::kRead);

    if (!fd) continue;

    // The kernel tells through fdinfo: "memlock:\t4096".
    std::string path = fmt::format("/proc/self/fdinfo/{}", fd->get());
    std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(path.c_str(), "re"), fclose);
    char line[128];
    unsigned long long bytes = 0;

    while (file && fgets(line, sizeof(line), file.get()))
      if (sscanf(line, "memlock: %llu", &bytes) == 1) total += bytes;
  }
  return total;
}

}  // namespace partywall::kernel
