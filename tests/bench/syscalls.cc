// tests/bench/syscalls.cc: nanoseconds per system call: bare, with an empty program on every
// one, and counted. getppid: nothing but the way into the kernel and back.
//
//   bench_syscalls NAME [quick]   NAME: of its pins and managed root. Needs root.
#include <bpf/bpf.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>

#include "tests/bench/empty.h"
#include "tests/bench/figure.h"
#include "tests/bench/stage.h"

namespace partywall::bench {
namespace {

constexpr double kCountedAtMost = 15;  // ns above an empty program on the same tracepoint
constexpr uint32_t kMaxTenants = 1024;

constexpr const char* kPolicy = R"(apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {name: plain}
spec: {}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: counted}
spec:
  tier: plain
  members:
    - cgroup: $ROOT/counted
      addresses: [10.89.0.1/32]
)";

double ns_per_call(int calls) {
  using Clock = std::chrono::steady_clock;

  auto start = Clock::now();

  for (int i = 0; i < calls; i++) syscall(SYS_getppid);
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count() / calls;
}

// The same with a program attached to sys_enter meanwhile.
Result<double> with_program(bpf_program* program, int calls) {
  Fd link(bpf_raw_tracepoint_open(nullptr, bpf_program__fd(program)));

  if (!link) return fail_errno(errno, "attach {}", bpf_program__name(program));
  ns_per_call(calls / 10);
  return ns_per_call(calls);
}

Result<void> run(const std::string& name, bool quick) {
  auto stage = Stage::open(name, kMaxTenants);

  if (!stage) return std::move(stage.error());
  if (auto made = (*stage)->make_cgroup("counted"); !made) return made;
  if (auto applied = (*stage)->apply({kPolicy}); !applied) return applied;

  auto empty = load_empty();

  if (!empty) return std::move(empty.error());

  kernel::Object counting;

  for (const kernel::ObjectSpec& spec : kernel::object_specs()) {
    if (spec.name != "syscalls") continue;

    auto object =
        kernel::load_object(spec, (*stage)->pins(),
                            {.max_tenants = kMaxTenants,
                             .cpus = static_cast<uint32_t>(libbpf_num_possible_cpus())});

    if (!object) return std::move(object.error());
    counting = std::move(*object);
  }
  bpf_program* counted = bpf_object__find_program_by_name(counting.get(), "syscall_enter");

  if (auto entered = (*stage)->enter("counted"); !entered) return entered;

  int calls = quick ? 200'000 : 500'000;
  std::vector<double> bare_ns;
  std::vector<double> empty_ns;
  std::vector<double> added;

  for (int round = 0; round < (quick ? 9 : 31); round++) {
    if (auto on = go_on(); !on) return on;
    bare_ns.push_back(ns_per_call(calls));

    auto nothing = with_program((*empty)->progs.empty_sys_enter, calls);
    auto something = with_program(counted, calls);

    if (!nothing) return std::move(nothing.error());
    if (!something) return std::move(something.error());
    empty_ns.push_back(*nothing - bare_ns.back());
    added.push_back(*something - *nothing);
  }
  print_figure("syscall.bare", median(bare_ns), "ns");
  print_figure("syscall.empty_program", median(empty_ns), "ns above bare");
  print_figure("syscall.counted", median(added), "ns above empty", kCountedAtMost);
  return {};
}

}  // namespace
}  // namespace partywall::bench

int main(int argc, char** argv) {
  using namespace partywall::bench;

  if (argc < 2) {
    say("bench_syscalls: wants NAME [quick]; tools/bench knows it");
    return 1;
  }
  setpriority(PRIO_PROCESS, 0, -20);
  end_politely();

  auto done = run(argv[1], argc > 2);

  if (!done) say("bench_syscalls: " + done.error().message());
  return done ? 0 : 1;
}
