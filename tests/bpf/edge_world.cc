// tests/bpf/edge_world.cc: writes rows, runs the programs, and tells which cells counted.
#include "tests/bpf/edge_world.h"

#include <bpf/bpf.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "maps/abi/flows.h"

namespace partywall::test {
namespace {

// Devices of the network namespace that make_device() made, once for this process.
const std::vector<uint32_t>& devices(int count) {
  static const std::vector<uint32_t> all = [count] {
    std::vector<uint32_t> made;

    for (int i = 0; i < count; i += 2) {
      std::string command = fmt::format(
          "PATH=$PATH:/usr/sbin:/sbin ip link add pwe{} type veth peer name pwe{}", i, i + 1);

      // NOLINTNEXTLINE(cert-env33-c): the words are fixed
      EXPECT_EQ(0, std::system(command.c_str()));
      made.push_back(if_nametoindex(fmt::format("pwe{}", i).c_str()));
      made.push_back(if_nametoindex(fmt::format("pwe{}", i + 1).c_str()));
    }
    return made;
  }();

  return all;
}

// What flow_entry.seen would be of a flow that was seen now.
uint32_t flow_clock() {
  timespec now{};

  // The programs' clock, which lags by up to a tick: an entry of the future would be over.
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint32_t>((static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
                                static_cast<uint64_t>(now.tv_nsec)) >>
                               30);
}

constexpr uint64_t kSomebodyElse = 0xfeedfeed00000000;  // flow_entry.local: on no interface

}  // namespace

void EdgeWorld::SetUp() {
  World::SetUp();
  ASSERT_FALSE(HasFatalFailure());
  std::ranges::copy(devices(kInterfaces), interfaces_.begin());

  auto rows = MappedArray<abi::interface>::open(pins_, "interfaces");
  auto control = MappedArray<abi::control>::open(pins_, "control");
  auto counters = MappedArray<const abi::tenant_counters>::open(pins_, "counters");
  auto flows = kernel::FlowTables::open(pins_);

  ASSERT_TRUE(rows) << rows.error().message();
  ASSERT_TRUE(control) << control.error().message();
  ASSERT_TRUE(counters) << counters.error().message();
  ASSERT_TRUE(flows) << flows.error().message();
  ASSERT_GE(datapath_->program_fd("edge_egress"), 0) << "the kernel refuses bpf/edge.bpf.c";
  rows_ = std::move(*rows);
  control_ = std::move(*control);
  counters_ = std::move(*counters);
  flows_ = std::move(*flows);
  table_ = kernel::InterfaceTable(rows_.rows());
  control_[0].mark_mask = kMarkMask;

  // One CPU counts, so that one CPU's rows are all there is to look at.
  cpu_set_t one;

  ASSERT_EQ(0, sched_getaffinity(0, sizeof(cpus_), &cpus_));
  cpu_ = static_cast<size_t>(sched_getcpu());
  CPU_ZERO(&one);
  CPU_SET(cpu_, &one);
  ASSERT_EQ(0, sched_setaffinity(0, sizeof(one), &one));
}

void EdgeWorld::TearDown() {
  sched_setaffinity(0, sizeof(cpus_), &cpus_);
  flows_.reset();
  World::TearDown();
}

void EdgeWorld::start(const std::string& text, const std::string& config) {
  policy(text, config);
  ASSERT_FALSE(HasFatalFailure());
  for (int i = 0; i < kInterfaces; i++) give(i);
  for (uint16_t tenant = 1; tenant < kMaxTenants; tenant++) {
    auto dropped = flows_->drop(tenant);

    ASSERT_TRUE(dropped) << dropped.error().message();
  }
  for (const auto& [name, tenant] : policy_.tenants) ASSERT_LT(number(name), kWatched - 1);
  seen_.clear();
  for (size_t cpu : {cpu_, static_cast<size_t>(control_[0].cpus)})
    for (size_t tenant = 0; tenant < kWatched; tenant++)
      seen_.push_back(counters_[cpu * kMaxTenants + tenant]);
}

abi::interface& EdgeWorld::give(int number, const std::string& tenant, uint32_t flags) {
  table_.remove(ifindex(number));

  auto row = table_.add(ifindex(number), flags);

  EXPECT_TRUE(row) << row.error().message();
  for (uint32_t side = 0; side < PARTYWALL_SIDES; side++)
    kernel::InterfaceTable::give(**row, side,
                                 tenant.empty() ? uint16_t{0} : this->number(tenant));
  return **row;
}

void EdgeWorld::make_flows(const std::string& tenant, uint32_t flows) {
  auto dropped = flows_->drop(number(tenant));
  auto made = flows_->need(number(tenant), flows);

  ASSERT_TRUE(dropped) << dropped.error().message();
  ASSERT_TRUE(made) << made.error().message();
}

template <typename Change>
void EdgeWorld::each_flow(const std::string& tenant, Change change) {
  Fd table(bpf_obj_get(fmt::format("{}/flows/{}", pins_, number(tenant)).c_str()));
  bpf_map_info info{};
  __u32 size = sizeof(info);

  ASSERT_TRUE(table);
  ASSERT_EQ(0, bpf_obj_get_info_by_fd(table.get(), &info, &size));
  for (uint32_t row = 0; row < info.max_entries; row++) {
    abi::flow_bucket bucket{};

    ASSERT_EQ(0, bpf_map_lookup_elem(table.get(), &row, &bucket));
    for (abi::flow_entry& entry : bucket.entry) change(entry);
    ASSERT_EQ(0, bpf_map_update_elem(table.get(), &row, &bucket, BPF_ANY));
  }
}

void EdgeWorld::fill_flows(const std::string& tenant, bool keep_established) {
  each_flow(tenant, [&](abi::flow_entry& entry) {
    if (keep_established && entry.remote != 0 && entry.state >= abi::FLOW_OPEN) return;
    entry = {.remote = kSomebodyElse,
             .local = kSomebodyElse,
             .seen = flow_clock(),
             .refused_us = 0,
             .refused_end = 0,
             .refusing = 0,
             .state = abi::FLOW_OPEN,
             .opened_by = abi::DIRECTION_EGRESS,
             .protocol = IPPROTO_TCP};
  });
}

void EdgeWorld::drain_flows(const std::string& tenant) {
  each_flow(tenant, [](abi::flow_entry& entry) {
    if (entry.remote == kSomebodyElse) entry = {};
  });
}

uint32_t EdgeWorld::mark_of(uint16_t tenant, uint32_t others) const {
  uint32_t mask = control_[0].mark_mask;

  return (others & ~mask) | (tenant * (mask & -mask) & mask);
}

EdgeOutcome EdgeWorld::send(const EdgeFrame& frame) {
  static std::array<uint8_t, 4096> after;
  bool egress = frame.direction == abi::DIRECTION_EGRESS;
  __sk_buff context{};
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = frame.bytes.data();
  options.data_size_in = static_cast<__u32>(frame.bytes.size());
  options.data_out = after.data();
  options.data_size_out = static_cast<__u32>(after.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  options.ctx_out = &context;
  options.ctx_size_out = sizeof(context);
  options.repeat = 1;
  context.ifindex = frame.ifindex;
  context.ingress_ifindex = frame.came_over;
  context.mark = frame.mark;
  context.gso_segs = frame.segments;

  int program = datapath_->program_fd(egress ? "edge_egress" : "edge_ingress");
  int error = bpf_prog_test_run_opts(program, &options);
  EdgeOutcome outcome{
      .verdict = static_cast<int>(options.retval),
      .cells = {},
      .mark = context.mark,
      .is_unchanged = options.data_size_out == frame.bytes.size() &&
                      std::equal(frame.bytes.begin(), frame.bytes.end(), after.begin())};

  EXPECT_EQ(0, error) << strerror(-error);
  for (size_t i = 0; i < seen_.size(); i++) {
    size_t cpu = i < kWatched ? cpu_ : control_[0].cpus;
    const abi::tenant_counters& now = counters_[cpu * kMaxTenants + i % kWatched];

    if (std::memcmp(seen_[i].cell, now.cell, sizeof(now.cell)) == 0) continue;
    for (uint32_t reason = 0; reason < abi::REASON_COUNT; reason++)
      for (uint32_t peer_class = 0; peer_class < abi::CLASS_COUNT; peer_class++) {
        if (peer_class != 0 && reason < abi::REASON_FIRST_LIMIT) break;
        for (uint32_t would = 0; would < (reason < abi::REASON_FIRST_DENY ? 1 : 2); would++)
          for (uint32_t direction = 0; direction < 2; direction++) {
            uint32_t cell = abi::counter_cell(reason, peer_class, would);
            const abi::traffic& was = seen_[i].cell[direction][cell];
            const abi::traffic& is = now.cell[direction][cell];

            if (was.packets == is.packets && was.bytes == is.bytes) continue;
            outcome.cells.push_back({.tenant = static_cast<uint16_t>(i % kWatched),
                                     .direction = static_cast<abi::direction>(direction),
                                     .reason = static_cast<abi::reason>(reason),
                                     .peer_class = static_cast<abi::peer_class>(peer_class),
                                     .would = would != 0,
                                     .bytes = is.bytes - was.bytes,
                                     .packets = is.packets - was.packets});
          }
      }
    seen_[i] = now;
  }
  return outcome;
}

std::vector<uint8_t> between(Packet packet, const LinkAddress& from, const LinkAddress& to) {
  std::ranges::copy(to, packet.bytes().begin());
  std::ranges::copy(from, packet.bytes().begin() + 6);
  return std::move(packet.bytes());
}

std::vector<uint8_t> out(Packet packet) { return between(std::move(packet), kWorkload, kHost); }

std::vector<uint8_t> in(Packet packet) { return between(std::move(packet), kHost, kWorkload); }

}  // namespace partywall::test
