// tests/bench/frames.cc: nanoseconds per packet of an established flow over both planes, above
// empty programs at the same hooks, by BPF_PROG_TEST_RUN.
//
//   bench_frames NAME [quick]   NAME: of its pins and managed root. Needs root.
#include <bpf/bpf.h>
#include <net/if.h>
#include <sys/resource.h>

#include <cerrno>

#include "agent/kernel/flow_tables.h"
#include "agent/kernel/interface_table.h"
#include "maps/abi/flows.h"
#include "maps/typed_map.h"
#include "tests/bench/crowd.h"
#include "tests/bench/empty.h"
#include "tests/bench/figure.h"
#include "tests/bench/stage.h"
#include "tests/bpf/device.h"
#include "tests/bpf/packet.h"

namespace partywall::bench {
namespace {

using test::Packet;

constexpr double kBothAtMost = 60;
constexpr Crowd kCrowd{.tenants = 10, .addresses = 100};
constexpr uint32_t kMaxTenants = 1024;

struct Effort {
  int rounds = 32;
  uint32_t repeat = 200'000;
};

std::string address(bool v6, size_t number) {
  return v6 ? Crowd::address6(number) : Crowd::address4(number);
}

// A packet of an established flow of the tenant kLimited, and the one that opens the flow.
struct Kind {
  const char* name;
  bool egress;
  Packet (*made)(bool v6);
  Packet (*opening)(bool v6);
};

constexpr size_t kOwn = kLimited;
constexpr size_t kSame = kLimited + kCrowd.tenants;  // its second address

const char* world(bool v6) { return v6 ? "2001:db8::1" : "198.51.100.1"; }

const Kind kKinds[] = {
    {"same_tenant", true,
     [](bool v6) { return Packet::tcp(address(v6, kOwn), 40000, address(v6, kSame), 80); },
     nullptr},
    {"by_rule", true,
     [](bool v6) {
       return Packet::tcp(address(v6, kOwn), 40000, address(v6, kFirstPeer), 5432);
     },
     nullptr},
    {"by_rule_reply_in", false,
     [](bool v6) {
       return Packet::tcp(address(v6, kFirstPeer), 5432, address(v6, kOwn), 40000);
     },
     [](bool v6) {
       return Packet::syn(address(v6, kOwn), 40000, address(v6, kFirstPeer), 5432);
     }},
    {"world", true,
     [](bool v6) { return Packet::tcp(address(v6, kOwn), 40000, world(v6), 443); }, nullptr},
    {"world_reply_in", false,
     [](bool v6) { return Packet::tcp(world(v6), 443, address(v6, kOwn), 40000); },
     [](bool v6) { return Packet::syn(address(v6, kOwn), 40000, world(v6), 443); }},
};

// Nanoseconds per packet, as the kernel measures its own loop; -1 when it is refused.
double ns(int program, Packet packet, uint32_t ifindex, uint32_t came_over, uint32_t repeat,
          int passes) {
  __sk_buff context{};
  LIBBPF_OPTS(bpf_test_run_opts, options);

  context.ifindex = ifindex;
  context.ingress_ifindex = came_over;
  options.data_in = packet.bytes().data();
  options.data_size_in = static_cast<__u32>(packet.bytes().size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  options.repeat = static_cast<int>(repeat);

  int error = 0;

  do error = bpf_prog_test_run_opts(program, &options);
  while (error == -EINTR);
  if (error) end_for(fail_errno(error, "BPF_PROG_TEST_RUN").message());
  return static_cast<int>(options.retval) == passes ? options.duration : -1;
}

class Bench {
 public:
  Bench(Stage& stage, const empty_bpf& empty, const Effort& effort, uint32_t workload,
        uint32_t uplink)
      : stage_(stage), empty_(empty), effort_(effort), workload_(workload), uplink_(uplink) {}

  Result<void> measure(const Kind& kind, bool v6) {
    constexpr int kNext = -1;
    constexpr int kPass = 1;
    auto program = [&](const char* name) { return stage_.datapath().program_fd(name); };
    int edge = program(kind.egress ? "edge_egress" : "edge_ingress");
    int socket = program(kind.egress ? "packet_egress" : "packet_ingress");
    int empty_edge = bpf_program__fd(empty_.progs.empty_tc);
    int empty_socket =
        bpf_program__fd(kind.egress ? empty_.progs.empty_egress : empty_.progs.empty_ingress);
    uint32_t came_over = kind.egress ? 0 : uplink_;
    Packet packet = kind.made(v6);
    std::vector<double> at_edge, both;

    if (auto on = go_on(); !on) return on;
    if (kind.opening) ns(program("edge_egress"), kind.opening(v6), workload_, 0, 1, kNext);
    for (int round = 0; round < effort_.rounds; round++) {
      double frame = ns(edge, packet, workload_, came_over, effort_.repeat, kNext);
      double judged = ns(socket, packet, workload_, 0, effort_.repeat, kPass);
      double nothing = ns(empty_edge, packet, workload_, came_over, effort_.repeat, kNext);

      if (frame < 0 || judged < 0)
        return fail("{} {}: refused, which is not what this benchmark is about", kind.name,
                    v6 ? "v6" : "v4");
      at_edge.push_back(frame - nothing);
      both.push_back(frame - nothing + judged -
                     ns(empty_socket, packet, workload_, 0, effort_.repeat, kPass));
    }

    std::string id = fmt::format("{}.{}", kind.name, v6 ? "v6" : "v4");

    print_figure("frame." + id + ".edge", median(at_edge), "ns");
    print_figure("frame." + id + ".both_planes", median(both), "ns", kBothAtMost);
    return {};
  }

 private:
  Stage& stage_;
  const empty_bpf& empty_;
  Effort effort_;
  uint32_t workload_;
  uint32_t uplink_;
};

Result<void> run(const std::string& name, const Effort& effort) {
  auto workload = test::make_device();

  if (!workload) return std::move(workload.error());

  uint32_t uplink = if_nametoindex("pw1");
  auto empty = load_empty();

  if (!empty) return std::move(empty.error());

  auto stage = Stage::open(name, kMaxTenants);

  if (!stage) return std::move(stage.error());

  std::string cgroup = fmt::format("t{}", kLimited);

  if (auto made = (*stage)->make_cgroup(cgroup); !made) return made;
  if (auto applied = (*stage)->apply(kCrowd.policy()); !applied) return applied;

  auto rows = MappedArray<abi::interface>::open((*stage)->pins(), "interfaces");
  auto flows = kernel::FlowTables::open((*stage)->pins());

  if (!rows) return std::move(rows.error());
  if (!flows) return std::move(flows.error());

  kernel::InterfaceTable table(rows->rows());
  uint16_t tenant = (*stage)->datapath().numbers().tenants.at(cgroup);

  for (uint32_t ifindex : {*workload, uplink}) table.remove(ifindex);

  auto row = table.add(*workload, INTERFACE_STRICT);

  if (!row) return std::move(row.error());
  for (uint32_t side = 0; side < PARTYWALL_SIDES; side++)
    kernel::InterfaceTable::give(**row, side, tenant);
  if (auto added = table.add(uplink, INTERFACE_HOST); !added) return std::move(added.error());
  if (auto made = flows->need(tenant, FLOWS_DEFAULT); !made) return made;
  if (auto entered = (*stage)->enter(cgroup); !entered) return entered;

  Bench bench(**stage, **empty, effort, *workload, uplink);

  for (const Kind& kind : kKinds)
    for (bool v6 : {false, true})
      if (auto done = bench.measure(kind, v6); !done) return done;
  return {};
}

}  // namespace
}  // namespace partywall::bench

int main(int argc, char** argv) {
  using namespace partywall::bench;

  if (argc < 2) {
    say("bench_frames: wants NAME [quick]; tools/bench knows it");
    return 1;
  }
  setpriority(PRIO_PROCESS, 0, -20);
  end_politely();

  auto done = run(argv[1], argc > 2 ? Effort{.rounds = 12, .repeat = 50'000} : Effort{});

  if (!done) say("bench_frames: " + done.error().message());
  return done ? 0 : 1;
}
