// tests/bench/verdicts.cc: nanoseconds per packet above an empty program, by BPF_PROG_TEST_RUN:
// by kind of packet, with few and with many tenants, the same packet again and a different one
// each time; and what a limit costs on one and on two CPUs.
//
//   bench_verdicts NAME [quick]   NAME: of its pins and managed root. Needs root.
#include <bpf/bpf.h>
#include <sched.h>
#include <sys/resource.h>

#include <barrier>
#include <cerrno>
#include <thread>

#include "tests/bench/crowd.h"
#include "tests/bench/empty.h"
#include "tests/bench/figure.h"
#include "tests/bench/stage.h"
#include "tests/bpf/device.h"
#include "tests/bpf/packet.h"

namespace partywall::bench {
namespace {

using test::Packet;

// The goals of the datapath, in nanoseconds above an empty program.
constexpr double kEstablishedAtMost = 25;
constexpr double kManyTenantsAtMost = 10;  // more than with few tenants
constexpr double kTwoCpusAtMost = 1.5;     // times the cost on one

constexpr Crowd kFew{.tenants = 10, .addresses = 100};
constexpr Crowd kMany{.tenants = 10'000, .addresses = 100'000};
constexpr uint32_t kMaxTenants = 16384;
constexpr size_t kRotating = 1000;  // different packets

struct Effort {
  int rounds = 16;
  size_t copies = 8;  // of the programs
  uint32_t repeat = 200'000;
};

// A program and what to give it.
struct Run {
  int program_fd;
  uint32_t ifindex;

  // Nanoseconds per packet, as the kernel measures its own loop.
  double ns(Packet& packet, uint32_t repeat) const {
    __sk_buff context{};
    LIBBPF_OPTS(bpf_test_run_opts, options);

    context.ifindex = ifindex;
    options.data_in = packet.bytes().data();
    options.data_size_in = static_cast<__u32>(packet.bytes().size());
    options.ctx_in = &context;
    options.ctx_size_in = sizeof(context);
    options.repeat = static_cast<int>(repeat);

    int error = 0;

    do error = bpf_prog_test_run_opts(program_fd, &options);
    while (error == -EINTR);
    if (error) end_for(fail_errno(error, "BPF_PROG_TEST_RUN").message());
    last_verdict = options.retval;
    return options.duration;
  }
  mutable uint32_t last_verdict = 0;
};

// A kind of packet: who sends it (a tenant that the benchmark plays), which way, and the i-th
// of them.
struct Kind {
  const char* name;
  size_t tenant;
  bool egress;
  bool passes;
  bool goal;
  Packet (*make)(const Crowd& crowd, bool v6, size_t tenant, size_t i);
};

std::string own(const Crowd& crowd, bool v6, size_t tenant, size_t i) {
  size_t number = tenant + crowd.tenants * (i % (crowd.addresses / crowd.tenants));

  return v6 ? Crowd::address6(number) : Crowd::address4(number);
}

// An address of a tenant that the rules name; each i another tenant, as far as there are.
std::string peer(const Crowd& crowd, bool v6, size_t i) {
  return own(crowd, v6, kFirstPeer + i % peers(crowd), i);
}

std::string world(bool v6, size_t i) {
  return v6 ? fmt::format("2001:db8::{:x}", i + 1)
            : fmt::format("198.51.{}.{}", i / 250, i % 250);
}

uint16_t port(size_t i) { return static_cast<uint16_t>(32768 + i); }

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {"same_tenant", kLimited, true, true, true,
       [](const Crowd& crowd, bool v6, size_t t, size_t i) {
         return Packet::tcp(own(crowd, v6, t, 0), port(i), own(crowd, v6, t, i + 1), 80);
       }},
      {"same_tenant_unlimited", kUnlimited, true, true, true,
       [](const Crowd& crowd, bool v6, size_t t, size_t i) {
         return Packet::tcp(own(crowd, v6, t, 0), port(i), own(crowd, v6, t, i + 1), 80);
       }},
      {"same_tenant_in", kLimited, false, true, true,
       [](const Crowd& crowd, bool v6, size_t t, size_t i) {
         return Packet::tcp(own(crowd, v6, t, i + 1), 80, own(crowd, v6, t, 0), port(i));
       }},
      {"by_rule", kLimited, true, true, true,
       [](const Crowd& crowd, bool v6, size_t t, size_t i) {
         return Packet::tcp(own(crowd, v6, t, 0), port(i), peer(crowd, v6, i), 5432);
       }},
      {"by_rule_reply_in", kLimited, false, true, true,
       [](const Crowd& crowd, bool v6, size_t t, size_t i) {
         return Packet::tcp(peer(crowd, v6, i), 5432, own(crowd, v6, t, 0), port(i));
       }},
      {"world", kLimited, true, true, true,
       [](const Crowd& crowd, bool v6, size_t t, size_t i) {
         return Packet::tcp(own(crowd, v6, t, 0), port(i), world(v6, i), 443);
       }},
      {"new", kLimited, true, true, false,
       [](const Crowd& crowd, bool v6, size_t t, size_t i) {
         return Packet::syn(own(crowd, v6, t, 0), port(i), peer(crowd, v6, i), 5432);
       }},
      {"denied", kLimited, true, false, false,
       [](const Crowd& crowd, bool v6, size_t t, size_t i) {
         return Packet::syn(own(crowd, v6, t, 0), port(i), own(crowd, v6, crowd.tenants - 1, i),
                            5432);
       }},
      {"limited", kOver, true, false, false,
       [](const Crowd& crowd, bool v6, size_t t, size_t i) {
         return Packet::tcp(own(crowd, v6, t, 0), port(i), own(crowd, v6, t, i + 1), 80)
             .payload(1000);
       }},
  };
  return all;
}

// The packet programs several times over, on the same maps: where code lies makes some
// nanoseconds' difference, so the rounds go through the copies.
using Copies = std::vector<kernel::Object>;

Result<Copies> load_copies(const std::string& pins, size_t count) {
  Copies copies;

  for (const kernel::ObjectSpec& spec : kernel::object_specs()) {
    if (spec.name != "packets") continue;
    while (copies.size() < count) {
      auto copy =
          kernel::load_object(spec, pins,
                              {.max_tenants = kMaxTenants,
                               .cpus = static_cast<uint32_t>(libbpf_num_possible_cpus())});

      if (!copy) return std::move(copy.error());
      copies.push_back(std::move(*copy));
    }
  }
  if (copies.empty()) return fail("this version has no object named packets");
  return copies;
}

class Bench {
 public:
  Bench(Stage& stage, const Copies& copies, const empty_bpf& empty, const Crowd& crowd,
        const Effort& effort, uint32_t ifindex)
      : stage_(stage),
        copies_(copies),
        empty_(empty),
        crowd_(crowd),
        effort_(effort),
        ifindex_(ifindex) {}

  // {hot, rotating} nanoseconds above the empty program.
  Result<std::pair<double, double>> measure(const Kind& kind, bool v6) {
    if (auto on = go_on(); !on) return std::move(on.error());
    if (auto entered = stage_.enter(fmt::format("t{}", kind.tenant)); !entered)
      return std::move(entered.error());

    const char* program = kind.egress ? "packet_egress" : "packet_ingress";
    Run ours{stage_.datapath().program_fd(program), ifindex_};
    Run empty{
        bpf_program__fd(kind.egress ? empty_.progs.empty_egress : empty_.progs.empty_ingress),
        ifindex_};
    std::vector<Packet> packets;

    for (size_t i = 0; i < kRotating; i++)
      packets.push_back(kind.make(crowd_, v6, kind.tenant, i));
    ours.ns(packets[0], 1000);  // spends the burst of what is to be over its limit

    // A benchmark of the wrong path would look splendid.
    for (Packet& packet : packets) {
      ours.ns(packet, 1);
      if (auto on = go_on(); !on) return std::move(on.error());
      if ((ours.last_verdict & 1) != kind.passes)
        return fail("{} {}: verdict {}, which is not what this benchmark is about", kind.name,
                    v6 ? "v6" : "v4", ours.last_verdict);
    }

    std::vector<double> hot;
    std::vector<double> rotating;

    for (int round = 0; round < effort_.rounds; round++) {
      bpf_object* copy = copies_[static_cast<size_t>(round) % copies_.size()].get();
      Run again{bpf_program__fd(bpf_object__find_program_by_name(copy, program)), ifindex_};
      double nothing = empty.ns(packets[0], effort_.repeat);

      hot.push_back(again.ns(packets[0], effort_.repeat) - nothing);
      rotating.push_back(rotate(again, packets) - rotate(empty, packets));
    }
    return std::pair{median(hot), median(rotating)};
  }

 private:
  // One packet per call: nothing is as warm as in a loop, and each one asks about another peer.
  static double rotate(const Run& run, std::vector<Packet>& packets) {
    std::vector<double> each;

    for (Packet& packet : packets) each.push_back(run.ns(packet, 1));
    return median(each);
  }

  Stage& stage_;
  const Copies& copies_;
  const empty_bpf& empty_;
  Crowd crowd_;
  Effort effort_;
  uint32_t ifindex_;
};

void pin_to(size_t cpu) {
  cpu_set_t set;

  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof(set), &set);
}

// Nanoseconds per packet when `cpus` CPUs judge packets of one tenant at the same time.
double on_cpus(const Run& run, const Packet& packet, size_t cpus, uint32_t repeat) {
  std::barrier start(static_cast<std::ptrdiff_t>(cpus));
  std::vector<double> each(cpus);
  std::vector<std::thread> threads;

  for (size_t cpu = 0; cpu < cpus; cpu++)
    threads.emplace_back([&, cpu] {
      Packet mine = packet;

      pin_to(cpu);
      start.arrive_and_wait();
      each[cpu] = run.ns(mine, repeat);
    });
  for (std::thread& thread : threads) thread.join();
  return *std::ranges::max_element(each);
}

// What charging a packet costs: a tenant with limits against one without, on one CPU and on
// all.
Result<void> limit_on_cpus(Stage& stage, const Effort& effort, uint32_t ifindex) {
  Run run{stage.datapath().program_fd("packet_egress"), ifindex};
  std::vector<double> cost[2];

  for (int round = 0; round < effort.rounds * 2; round++) {
    double ns[2][2];

    if (auto on = go_on(); !on) return on;

    for (size_t limited : {0, 1}) {
      size_t tenant = limited ? kLimited : kUnlimited;
      Packet packet = kinds()[0].make(kFew, false, tenant, 0);

      if (auto entered = stage.enter(fmt::format("t{}", tenant)); !entered) return entered;
      for (size_t cpus : {1, 2})
        ns[limited][cpus - 1] = on_cpus(run, packet, cpus, effort.repeat * 2);
    }
    for (size_t cpus : {0, 1}) cost[cpus].push_back(ns[1][cpus] - ns[0][cpus]);
  }

  double one = median(cost[0]);
  double two = median(cost[1]);

  print_figure("limit.cost.1cpu", one, "ns");
  print_figure("limit.cost.2cpu", two, "ns");
  print_figure("limit.2cpu_to_1cpu", two / one, "ratio", kTwoCpusAtMost);
  return {};
}

Result<void> run(const std::string& name, const Effort& effort) {
  auto ifindex = test::make_device();

  if (!ifindex) return std::move(ifindex.error());

  auto empty = load_empty();

  if (!empty) return std::move(empty.error());

  std::vector<double> established;  // of the few, to compare the many with

  for (const Crowd& crowd : {kFew, kMany}) {
    auto stage = Stage::open(name, kMaxTenants);

    if (!stage) return std::move(stage.error());
    for (size_t tenant = 0; tenant < kFirstPeer; tenant++)
      if (auto made = (*stage)->make_cgroup(fmt::format("t{}", tenant)); !made) return made;
    say(fmt::format("  {} tenants, {} addresses of each family: applying", crowd.tenants,
                    crowd.addresses));
    if (auto applied = (*stage)->apply(crowd.policy()); !applied) return applied;

    auto copies = load_copies((*stage)->pins(), effort.copies);

    if (!copies) return std::move(copies.error());

    Bench bench(**stage, *copies, **empty, crowd, effort, *ifindex);
    size_t at = 0;

    for (const Kind& kind : kinds())
      for (bool v6 : {false, true}) {
        auto ns = bench.measure(kind, v6);

        if (!ns) return std::move(ns.error());

        std::string id =
            fmt::format("packet.{}.{}.{}", kind.name, v6 ? "v6" : "v4", crowd.tenants);

        print_figure(id + ".hot", ns->first, "ns",
                     kind.goal ? AtMost(kEstablishedAtMost) : AtMost());
        print_figure(id + ".rotating", ns->second, "ns");
        if (!kind.goal) continue;
        if (crowd.tenants == kFew.tenants)
          established.push_back(ns->first);
        else
          print_figure(fmt::format("packet.{}.{}.many_minus_few", kind.name, v6 ? "v6" : "v4"),
                       ns->first - established[at++], "ns", kManyTenantsAtMost);
      }
    if (crowd.tenants == kFew.tenants)
      if (auto done = limit_on_cpus(**stage, effort, *ifindex); !done) return done;
  }
  return {};
}

}  // namespace
}  // namespace partywall::bench

int main(int argc, char** argv) {
  using namespace partywall::bench;

  if (argc < 2) {
    say("bench_verdicts: wants NAME [quick]; tools/bench knows it");
    return 1;
  }
  setpriority(PRIO_PROCESS, 0, -20);
  end_politely();

  auto done =
      run(argv[1], argc > 2 ? Effort{.rounds = 6, .copies = 3, .repeat = 50'000} : Effort{});

  if (!done) say("bench_verdicts: " + done.error().message());
  return done ? 0 : 1;
}
