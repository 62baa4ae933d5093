// tests/bench/stage.cc: makes and removes a benchmark's datapath. Touches only what it made.
#include "tests/bench/stage.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <mutex>

#include "agent/kernel/uninstall.h"
#include "agent/policy/compile.h"
#include "agent/policy/parse.h"
#include "agent/source/cgroup_tree.h"
#include "tests/bench/figure.h"

namespace partywall::bench {
namespace {

// What Datapath::attach() attaches to the managed root.
constexpr std::string_view kPrograms[] = {"packet_ingress", "packet_egress", "call_connect4",
                                          "call_connect6",  "call_sendmsg4", "call_sendmsg6",
                                          "call_bind4",     "call_bind6"};

volatile sig_atomic_t asked_to_end = 0;
std::string end_reason = "interrupted";

}  // namespace

void end_politely() {
  for (int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { asked_to_end = 1; });
}

void end_for(std::string_view reason) {
  static std::once_flag first;  // two threads may fail at once

  std::call_once(first, [&] { end_reason = reason; });
  asked_to_end = 1;
}

Result<void> go_on() {
  if (asked_to_end) return fail("{}", end_reason);
  return {};
}

Result<std::unique_ptr<Stage>> Stage::open(const std::string& name, uint32_t max_tenants,
                                           std::vector<std::string> interfaces) {
  auto mount = source::cgroup2_mount();

  if (!mount) return std::move(mount.error());

  std::unique_ptr<Stage> stage(new Stage);

  stage->mount_ = *mount;
  stage->root_ = "/" + name;
  stage->pins_ = "/sys/fs/bpf/" + name;
  stage->max_tenants_ = max_tenants;

  std::ifstream self("/proc/self/cgroup");

  for (std::string line; std::getline(self, line);)
    if (line.starts_with("0::")) stage->home_ = line.substr(3);

  auto datapath = kernel::Datapath::open(
      {.pin_root = stage->pins_,
       .cgroup_mount = stage->mount_,
       .managed_root = stage->root_,
       .max_tenants = max_tenants,
       .count_syscalls = false,
       .edge = {.names = std::move(interfaces), .mark_mask = 0xffff0000}});

  if (!datapath) return std::move(datapath.error());
  stage->datapath_ = std::move(*datapath);
  return stage;
}

Stage::~Stage() {
  if (auto left = enter(""); !left) say(left.error().message());
  datapath_.reset();
  if (auto removed = kernel::uninstall(pins_); !removed) say(removed.error().message());
  cgroups_.insert(cgroups_.begin(), "");
  for (auto cgroup = cgroups_.rbegin(); cgroup != cgroups_.rend(); ++cgroup)
    if (rmdir(path(*cgroup).c_str()) && errno != ENOENT)
      say(fail_errno(errno, "remove {}", path(*cgroup)).message());
}

Result<void> Stage::apply(const std::vector<std::string>& texts) {
  std::vector<std::shared_ptr<const policy::ParsedFile>> files;

  for (std::string text : texts) {
    for (size_t at = 0; (at = text.find("$ROOT", at)) != std::string::npos;)
      text.replace(at, 5, root_);
    files.push_back(std::make_shared<const policy::ParsedFile>(
        policy::parse_file(fmt::format("bench-{}.yaml", files.size()), text)));
  }
  auto parsed = policy::assemble(files, {}, root_);

  if (!parsed.problems.empty())
    return fail("{} (and {} more)", to_string(parsed.problems[0]), parsed.problems.size() - 1);

  auto image = policy::compile(parsed.policy, datapath_->numbers(), {.tenants = max_tenants_});

  if (!image) return std::move(image.error());

  auto applied = datapath_->apply(std::make_shared<const policy::Image>(std::move(*image)));

  if (!applied) return std::move(applied.error());
  return {};
}

Result<void> Stage::make_cgroup(const std::string& cgroup) {
  if (mkdir(path(cgroup).c_str(), 0755)) return fail_errno(errno, "make {}", path(cgroup));
  cgroups_.push_back(cgroup);
  return datapath_->follow_cgroups();
}

Result<void> Stage::enter(const std::string& cgroup) {
  std::string folder = cgroup.empty() ? mount_ + home_ : path(cgroup);
  std::ofstream procs(folder + "/cgroup.procs");

  procs << getpid() << std::flush;
  if (!procs) return fail("move this process into {}", folder);
  return {};
}

// The second time, what detach() took off is missing: that is what repair() is for.
Result<void> Stage::attach() {
  if (auto attached = datapath_->attach(); !attached) return attached;
  if (auto repaired = datapath_->repair(); !repaired) return std::move(repaired.error());
  return {};
}

Result<void> Stage::detach() {
  if (const kernel::Edges* edges = datapath_->edges())
    for (const kernel::Edge& edge : edges->all())
      for (const char* program : {"edge_egress", "edge_ingress"})
        if (auto done = kernel::detach(kernel::tc_link_name(program, edge.ifindex), pins_);
            !done)
          return done;
  for (std::string_view program : kPrograms)
    if (auto done = kernel::detach(program, pins_); !done) return done;
  return {};
}

}  // namespace partywall::bench
