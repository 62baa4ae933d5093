// tests/bench/switch.cc: holds a datapath and switches it on and off for tools/bench, so that
// bare and Partywall alternate within one run. Measures nothing.
//
//   bench_switch NAME POLICY_FILE INTERFACES CGROUP...
//   INTERFACES: a pattern of workloads' interfaces in this network namespace; "-" = no edge.
//   Makes the managed root /NAME with these cgroups, says "ready" with its full path, and then
//   answers each line "empty|partywall|syscalls on|off" with "ok" or "error: ...". Ends,
//   leaving nothing, at the end of its input.
#include <bpf/bpf.h>

#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>

#include "agent/source/cgroup_tree.h"
#include "tests/bench/empty.h"
#include "tests/bench/figure.h"
#include "tests/bench/stage.h"

namespace partywall::bench {
namespace {

constexpr uint32_t kMaxTenants = 1024;  // the agent's default

// One of the datapath's objects once more, on the same maps.
Result<kernel::Object> load(std::string_view object, const std::string& pins) {
  for (const kernel::ObjectSpec& spec : kernel::object_specs())
    if (spec.name == object)
      return kernel::load_object(spec, pins,
                                 {.max_tenants = kMaxTenants,
                                  .cpus = static_cast<uint32_t>(libbpf_num_possible_cpus())});
  return fail("this version has no object named {}", object);
}

class Switch {
 public:
  Switch(Stage& stage, EmptyPrograms empty, kernel::Object counting)
      : stage_(stage), empty_(std::move(empty)), counting_(std::move(counting)) {}

  Result<void> turn(const std::string& what, bool on) {
    if (what == "partywall") return on ? turn_partywall_on() : stage_.detach();
    if (what == "empty") return turn_empty(on);
    if (what == "syscalls") return turn_syscalls(on);
    return fail("nothing here is called '{}'", what);
  }

 private:
  // With programs loaded anew, at another address. Where its code lies decides which lines of
  // the instruction cache and of the branch predictor a program shares with the kernel's TCP:
  // up to a tenth of a request. One address would be luck, many are a median.
  Result<void> turn_partywall_on() {
    auto fresh = load("packets", stage_.pins());

    if (!fresh) return std::move(fresh.error());
    if (auto attached = stage_.attach(); !attached) return attached;

    auto id = source::cgroup_id(stage_.root());
    Fd root(open(stage_.root().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));

    if (!id) return std::move(id.error());
    for (const char* name : {"packet_egress", "packet_ingress"}) {
      auto link = kernel::attach_to_cgroup(bpf_object__find_program_by_name(fresh->get(), name),
                                           root.get(), *id, stage_.pins());

      if (!link) return std::move(link.error());
    }
    fresh_.push_back(std::move(*fresh));  // kept: else the next one would get the same address
    return {};
  }

  Result<void> turn_empty(bool on) {
    hooks_.reset();
    if (!on) return {};

    auto hooks = attach_empty(*empty_, stage_.root());

    if (!hooks) return std::move(hooks.error());
    hooks_ = std::move(*hooks);
    return {};
  }

  Result<void> turn_syscalls(bool on) {
    syscalls_.reset();
    if (!on) return {};

    bpf_program* program = bpf_object__find_program_by_name(counting_.get(), "syscall_enter");

    syscalls_ = Fd(bpf_raw_tracepoint_open(nullptr, bpf_program__fd(program)));
    if (!*syscalls_) return fail_errno(errno, "attach syscall_enter");
    return {};
  }

  Stage& stage_;
  EmptyPrograms empty_;
  kernel::Object counting_;
  std::optional<EmptyHooks> hooks_;
  std::optional<Fd> syscalls_;
  std::vector<kernel::Object> fresh_;
};

Result<void> run(int argc, char** argv) {
  if (argc < 5)
    return fail("wants NAME POLICY_FILE INTERFACES CGROUP...; tools/bench knows them");

  std::vector<std::string> interfaces;

  if (std::string_view(argv[3]) != "-") interfaces.emplace_back(argv[3]);

  auto stage = Stage::open(argv[1], kMaxTenants, interfaces);

  if (!stage) return std::move(stage.error());
  for (int i = 4; i < argc; i++)
    if (auto made = (*stage)->make_cgroup(argv[i]); !made) return made;

  std::ifstream file(argv[2]);
  std::stringstream policy;

  policy << file.rdbuf();
  if (!file) return fail("read {}", argv[2]);
  if (auto applied = (*stage)->apply({policy.str()}); !applied) return applied;

  auto empty = load_empty();

  if (!empty) return std::move(empty.error());

  auto counting = load("syscalls", (*stage)->pins());

  if (!counting) return std::move(counting.error());

  Switch hooks(**stage, std::move(*empty), std::move(*counting));

  std::cout << "ready " << (*stage)->root() << std::endl;
  for (std::string what, on; std::cin >> what >> on;) {
    auto turned = hooks.turn(what, on == "on");

    std::cout << (turned ? "ok" : "error: " + turned.error().message()) << std::endl;
  }
  return {};
}

}  // namespace
}  // namespace partywall::bench

int main(int argc, char** argv) {
  // The end of its input ends it, and tools/bench closes that whatever happens.
  partywall::bench::end_politely();

  auto done = partywall::bench::run(argc, argv);

  if (!done) partywall::bench::say("bench_switch: " + done.error().message());
  return done ? 0 : 1;
}
