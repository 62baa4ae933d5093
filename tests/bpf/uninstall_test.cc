// tests/bpf/uninstall_test.cc: what uninstall removes, and what it leaves alone. Pins maps of
// its own.
#include "agent/kernel/uninstall.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "maps/abi/interfaces.h"
#include "maps/fd.h"
#include "maps/pins.h"
#include "tests/bpf/device.h"
#include "tests/unit/temporary_folder.h"

namespace partywall::kernel {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class UninstallTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(pins_); }

  void pin_a_map() {
    Fd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "control", 4, 4, 1, nullptr));

    for (const std::string& folder : {pins_, pins_ + "/maps"})
      ASSERT_EQ(0, mkdir(folder.c_str(), 0700)) << folder;
    ASSERT_EQ(0, bpf_obj_pin(map.get(), map_pin(pins_, "control").c_str()));
  }

  std::string pins_ = fmt::format("/sys/fs/bpf/pw-test-uninstall-{}", getpid());
};

TEST_F(UninstallTest, NothingThereIsNoFailure) {
  auto removed = uninstall(pins_);

  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_THAT(*removed, IsEmpty());
}

TEST_F(UninstallTest, SaysWhatItRemoves) {
  pin_a_map();

  auto removed = uninstall(pins_);

  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_THAT(*removed, ElementsAre("map control", "folder " + pins_));
  EXPECT_NE(0, access(pins_.c_str(), F_OK));
}

TEST_F(UninstallTest, NotWhileAnAgentHoldsTheLock) {
  pin_a_map();

  Fd lock(open(pins_.c_str(), O_RDONLY | O_DIRECTORY));

  ASSERT_EQ(0, flock(lock.get(), LOCK_EX));

  auto removed = uninstall(pins_);

  ASSERT_FALSE(removed);
  EXPECT_THAT(removed.error().message(), HasSubstr("an agent runs"));
  EXPECT_EQ(0, access(map_pin(pins_, "control").c_str(), F_OK));
}

// As on a kernel without TCX, where the edge is a filter that nothing pins.
TEST_F(UninstallTest, FiltersOfItsInterfacesGo) {
  constexpr uint32_t kOurs = 0x5057;
  constexpr uint32_t kTheirs = 0x1234;
  auto device = test::make_device();
  ASSERT_TRUE(device) << device.error().message();

  pin_a_map();
  {
    abi::interface row {};
    uint32_t slot = *device % INTERFACE_SLOTS;
    LIBBPF_OPTS(bpf_map_create_opts, mapped, .map_flags = BPF_F_MMAPABLE);
    Fd interfaces(bpf_map_create(BPF_MAP_TYPE_ARRAY, "interfaces", sizeof(slot), sizeof(row),
                                 INTERFACE_SLOTS, &mapped));

    row.ifindex = *device;
    ASSERT_EQ(0, bpf_map_update_elem(interfaces.get(), &slot, &row, BPF_ANY));
    ASSERT_EQ(0, bpf_obj_pin(interfaces.get(), map_pin(pins_, "interfaces").c_str()));
  }
  bpf_insn passes[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = -1},
                       {.code = BPF_JMP | BPF_EXIT}};
  Fd program(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "passes", "GPL", passes, 2, nullptr));
  auto has = [&](bpf_tc_attach_point end, uint32_t handle, uint32_t priority) {
    LIBBPF_OPTS(bpf_tc_hook, where, .ifindex = static_cast<int>(*device), .attach_point = end);
    LIBBPF_OPTS(bpf_tc_opts, filter, .handle = handle, .priority = priority);

    return bpf_tc_query(&where, &filter) == 0;
  };

  ASSERT_TRUE(program) << strerror(errno);
  for (bpf_tc_attach_point end : {BPF_TC_INGRESS, BPF_TC_EGRESS})
    for (auto [handle, priority] :
         {std::pair{kOurs, 1U}, {kOurs, 49152U}, {kTheirs, 1U}, {kOurs, 7U}}) {
      LIBBPF_OPTS(bpf_tc_hook, where, .ifindex = static_cast<int>(*device),
                  .attach_point = end);
      LIBBPF_OPTS(bpf_tc_opts, filter, .prog_fd = program.get(), .handle = handle,
                  .priority = priority);
      int made = bpf_tc_hook_create(&where);

      ASSERT_TRUE(made == 0 || made == -EEXIST) << made;
      ASSERT_EQ(0, bpf_tc_attach(&where, &filter));
      ASSERT_TRUE(has(end, handle, priority));
    }

  auto removed = uninstall(pins_);

  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_THAT(*removed, Contains(fmt::format("4 filters of interface {}", *device)));
  for (bpf_tc_attach_point end : {BPF_TC_INGRESS, BPF_TC_EGRESS}) {
    EXPECT_FALSE(has(end, kOurs, 1));
    EXPECT_FALSE(has(end, kOurs, 49152));
    // Somebody else's.
    EXPECT_TRUE(has(end, kTheirs, 1));
    EXPECT_TRUE(has(end, kOurs, 7));
  }
}

// Whose folder has a subfolder `maps` loses no files to a --bpffs that was meant otherwise.
TEST_F(UninstallTest, FilesOfAnotherFileSystemAreNotPins) {
  test::TemporaryFolder folder;

  folder.make_folder("maps");
  folder.write("maps/world.png", "a picture");

  auto removed = uninstall(folder.path());

  ASSERT_FALSE(removed);
  EXPECT_THAT(removed.error().message(), HasSubstr("not on a BPF file system"));
  EXPECT_EQ(0, access(folder.path("maps/world.png").c_str(), F_OK));
}

}  // namespace
}  // namespace partywall::kernel
