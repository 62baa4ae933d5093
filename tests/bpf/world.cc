// tests/bpf/world.cc: makes and removes the test's datapath. Touches only what it made.
#include "tests/bpf/world.h"

#include <bpf/bpf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "agent/kernel/uninstall.h"
#include "agent/source/cgroup_tree.h"
#include "maps/counter_rows.h"
#include "maps/typed_map.h"

namespace partywall::test {

void World::SetUp() {
  static const auto device = make_device();

  ASSERT_TRUE(device) << device.error().message();
  device_ = *device;

  auto mount = source::cgroup2_mount();

  ASSERT_TRUE(mount) << mount.error().message();
  mount_ = *mount;
  root_ = fmt::format("/pw-test-{}", getpid());
  pins_ = fmt::format("/sys/fs/bpf/pw-test-{}", getpid());

  std::ifstream self("/proc/self/cgroup");

  for (std::string line; std::getline(self, line);)
    if (line.starts_with("0::")) home_ = line.substr(3);

  auto datapath = kernel::Datapath::open({.pin_root = pins_,
                                          .cgroup_mount = mount_,
                                          .managed_root = root_,
                                          .max_tenants = kMaxTenants,
                                          .count_syscalls = count_syscalls_});

  ASSERT_TRUE(datapath) << datapath.error().message();
  datapath_ = std::move(*datapath);
}

void World::TearDown() {
  enter("");
  datapath_.reset();

  auto removed = kernel::uninstall(pins_);

  EXPECT_TRUE(removed) << removed.error().message();
  for (; !cgroups_.empty(); cgroups_.pop_back())
    EXPECT_EQ(0, rmdir((mount_ + root_ + "/" + cgroups_.back()).c_str())) << cgroups_.back();
  EXPECT_EQ(0, rmdir((mount_ + root_).c_str()));
}

void World::policy(std::string text, const std::string& config) {
  for (size_t at; (at = text.find("$ROOT")) != std::string::npos;) text.replace(at, 5, root_);

  auto infrastructure = policy::parse_infrastructure("config.yaml", config);
  auto file = std::make_shared<const policy::ParsedFile>(policy::parse_file("test.yaml", text));
  auto parsed = policy::assemble({file}, infrastructure.entries, root_);

  for (const auto& problem : infrastructure.problems) ADD_FAILURE() << to_string(problem);
  for (const auto& problem : parsed.problems) ADD_FAILURE() << to_string(problem);

  // As the agent does: the numbers of the last policy, and at the start those in the maps.
  auto image = policy::compile(parsed.policy, image_ ? image_->numbers : datapath_->numbers(),
                               {.tenants = kMaxTenants});

  ASSERT_TRUE(image) << image.error().message();
  policy_ = std::move(parsed.policy);
  image_ = std::make_shared<const policy::Image>(std::move(*image));

  auto applied = datapath_->apply(image_);

  ASSERT_TRUE(applied) << applied.error().message();

  auto attached = datapath_->attach();

  ASSERT_TRUE(attached) << attached.error().message();
}

void World::make_cgroup(const std::string& name) {
  ASSERT_EQ(0, mkdir((mount_ + root_ + "/" + name).c_str(), 0755)) << name;
  cgroups_.push_back(name);

  auto followed = datapath_->membership().follow(datapath_->side_in_force());

  ASSERT_TRUE(followed) << followed.error().message();
}

void World::enter(const std::string& name) {
  if (name == inside_) return;

  std::ofstream procs(mount_ + (name.empty() ? home_ : root_ + "/" + name) + "/cgroup.procs");

  procs << getpid() << std::flush;
  ASSERT_TRUE(procs) << "enter cgroup " << name;
  inside_ = name;
}

uint16_t World::number(const std::string& tenant) const {
  auto found = image_->numbers.tenants.find(tenant);

  return found == image_->numbers.tenants.end() ? uint16_t{0} : found->second;
}

abi::tenant_counters World::counters(uint16_t tenant) const {
  auto rows = MappedArray<const abi::tenant_counters>::open(pins_, "counters");

  EXPECT_TRUE(rows);
  return sum_rows(rows->rows(), kMaxTenants, tenant);
}

uint16_t World::current_tenant() const {
  return image_->cgroups.tenant_of(root_ + "/" + inside_);
}

Outcome World::run(const char* program, abi::direction direction, Packet packet,
                   __sk_buff context) {
  uint16_t tenant = current_tenant();
  abi::tenant_counters before = counters(tenant);
  std::vector<uint8_t>& bytes = packet.bytes();
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = bytes.data();
  options.data_size_in = static_cast<__u32>(bytes.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  options.ctx_out = &context;
  options.ctx_size_out = sizeof(context);
  options.repeat = 1;

  Outcome outcome;
  int error = bpf_prog_test_run_opts(datapath_->program_fd(program), &options);

  EXPECT_EQ(0, error) << strerror(-error);
  outcome.verdict = static_cast<int>(options.retval);
  last_priority_ = context.priority;

  abi::tenant_counters after = counters(tenant);

  for (uint32_t reason = 0; reason < abi::REASON_COUNT; reason++)
    for (uint32_t peer_class = 0; peer_class < abi::CLASS_COUNT; peer_class++)
      for (uint32_t would = 0; would < 2; would++) {
        if (would && reason < abi::REASON_FIRST_DENY) continue;

        uint32_t cell = abi::counter_cell(reason, peer_class, would);
        uint64_t packets =
            after.cell[direction][cell].packets - before.cell[direction][cell].packets;

        if (packets == 0) continue;
        if (outcome.reason != abi::REASON_COUNT) {
          EXPECT_EQ(outcome.reason, reason) << "counted in two cells";
        }
        outcome.reason = static_cast<abi::reason>(reason);
        outcome.would = would;
        outcome.packets = packets;
        outcome.bytes = after.cell[direction][cell].bytes - before.cell[direction][cell].bytes;
      }
  return outcome;
}

Outcome World::egress(Packet packet, uint32_t ifindex, uint32_t gso_segs) {
  __sk_buff context{};

  context.ifindex = ifindex == kDevice ? device_ : ifindex;
  context.gso_segs = gso_segs;
  return run("packet_egress", abi::DIRECTION_EGRESS, std::move(packet), context);
}

Outcome World::ingress(Packet packet, uint32_t ifindex, uint32_t priority) {
  __sk_buff context{};

  context.ifindex = ifindex == kDevice ? device_ : ifindex;
  context.priority = priority;
  return run("packet_ingress", abi::DIRECTION_INGRESS, std::move(packet), context);
}

std::vector<abi::verdict_event> World::events() {
  std::vector<abi::verdict_event> all;
  auto ring = RingReader::open(pins_, "events", [&](std::span<const std::byte> record) {
    std::memcpy(&all.emplace_back(), record.data(), sizeof(abi::verdict_event));
  });

  EXPECT_TRUE(ring);

  auto count = ring->consume();

  EXPECT_TRUE(count);
  return all;
}

}  // namespace partywall::test
