// tests/bench/switch.cc: holds a datapath and switches it on and off for tools/bench, so that
// bare and Partywall alternate within one run. Measures nothing.
//
//   bench_switch NAME POLICY_FILE CGROUP...
//   Makes the managed root /NAME with these cgroups, says "ready" with its full path, and then
//   answers each line "empty|partywall|syscalls on|off" with "ok" or "error: ...". Ends,
//   leaving nothing, at the end of its input.
#include <bpf/bpf.h>

#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>

#include "tests/bench/empty.h"
#include "tests/bench/figure.h"
#include "tests/bench/stage.h"

namespace partywall::bench {
namespace {

constexpr uint32_t kMaxTenants = 1024;  // the agent's default

class Switch {
 public:
  Switch(Stage& stage, EmptyPrograms empty, kernel::Object counting)
      : stage_(stage), empty_(std::move(empty)), counting_(std::move(counting)) {}

  Result<void> turn(const std::string& what, bool on) {
    if (what == "partywall") return on ? stage_.attach() : stage_.detach();
    if (what == "empty") return turn_empty(on);
    if (what == "syscalls") return turn_syscalls(on);
    return fail("nothing here is called '{}'", what);
  }

 private:
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
};

Result<kernel::Object> load_counting(const std::string& pins) {
  for (const kernel::ObjectSpec& spec : kernel::object_specs())
    if (spec.name == "syscalls")
      return kernel::load_object(spec, pins,
                                 {.max_tenants = kMaxTenants,
                                  .cpus = static_cast<uint32_t>(libbpf_num_possible_cpus())});
  return fail("this version has no object named syscalls");
}

Result<void> run(int argc, char** argv) {
  if (argc < 4) return fail("wants NAME POLICY_FILE CGROUP...; tools/bench knows them");

  auto stage = Stage::open(argv[1], kMaxTenants);

  if (!stage) return std::move(stage.error());
  for (int i = 3; i < argc; i++)
    if (auto made = (*stage)->make_cgroup(argv[i]); !made) return made;

  std::ifstream file(argv[2]);
  std::stringstream policy;

  policy << file.rdbuf();
  if (!file) return fail("read {}", argv[2]);
  if (auto applied = (*stage)->apply({policy.str()}); !applied) return applied;

  auto empty = load_empty();

  if (!empty) return std::move(empty.error());

  auto counting = load_counting((*stage)->pins());

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
  auto done = partywall::bench::run(argc, argv);

  if (!done) partywall::bench::say("bench_switch: " + done.error().message());
  return done ? 0 : 1;
}
