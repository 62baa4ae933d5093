// tests/bpf/uninstall_test.cc: what uninstall removes, and what it leaves alone. Pins maps of
// its own.
#include "agent/kernel/uninstall.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "maps/fd.h"
#include "maps/pins.h"
#include "tests/unit/temporary_folder.h"

namespace partywall::kernel {
namespace {

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
