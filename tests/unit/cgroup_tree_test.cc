// tests/unit/cgroup_tree_test.cc: finds cgroup2 in mountinfo texts, and walks a tree of folders
// that it makes below the temporary folder.
#include "agent/source/cgroup_tree.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "tests/unit/temporary_folder.h"

namespace partywall::source {
namespace {

using testing::HasSubstr;

std::string found(std::string_view mountinfo) {
  auto mount = find_cgroup2(mountinfo);

  return mount ? *mount : "none: " + mount.error().message();
}

constexpr const char* kRoot =
    "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
    "23 22 0:21 / /proc rw,nosuid shared:12 - proc proc rw\n"
    "24 22 0:22 / /sys rw,nosuid shared:2 - sysfs sysfs rw\n";

TEST(CgroupMount, Unified) {
  EXPECT_EQ(
      "/sys/fs/cgroup",
      found(std::string(kRoot) +
            "30 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 "
            "cgroup2 rw,nsdelegate,memory_recursiveprot\n"
            "31 24 0:27 / /sys/fs/bpf rw shared:5 - bpf bpf rw,mode=700\n"));
}

TEST(CgroupMount, OfTheHostInAContainer) {
  EXPECT_EQ("/sys/fs/cgroup",
            found(std::string(kRoot) +
                  "30 24 0:26 /../../../.. /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw\n"));
  EXPECT_THAT(found(std::string(kRoot) +
                    "30 24 0:26 /../pod7 /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw\n"),
              HasSubstr("none: no cgroup2"));
}

TEST(CgroupMount, Hybrid) {
  EXPECT_EQ("/sys/fs/cgroup/unified",
            found(std::string(kRoot) +
                  "30 24 0:26 / /sys/fs/cgroup ro,nosuid shared:4 - tmpfs tmpfs ro,mode=755\n"
                  "31 30 0:27 / /sys/fs/cgroup/cpu rw shared:5 - cgroup cgroup rw,cpu\n"
                  "32 30 0:28 / /sys/fs/cgroup/unified rw shared:6 - cgroup2 cgroup2 rw\n"));
}

TEST(CgroupMount, NoOptionalFieldsAndMany) {
  EXPECT_EQ("/a", found("30 24 0:26 / /a rw - cgroup2 none rw\n"));
  EXPECT_EQ("/a",
            found("30 24 0:26 / /a rw shared:4 master:1 propagate_from:2 - cgroup2 none rw"));
}

TEST(CgroupMount, ABindMountOfAPartIsNotTheTree) {
  std::string part =
      "29 24 0:26 /kubepods/pod1 /run/part rw shared:4 - cgroup2 cgroup2 rw\n";

  EXPECT_EQ("/all", found(part + "30 24 0:26 / /all rw shared:4 - cgroup2 cgroup2 rw\n"));
  EXPECT_THAT(found(part), HasSubstr("none: no cgroup2 file system is mounted"));
}

TEST(CgroupMount, None) {
  EXPECT_EQ(
      "none: no cgroup2 file system is mounted; mount one: mount -t cgroup2 none "
      "/sys/fs/cgroup",
      found(kRoot));
  EXPECT_THAT(found(""), HasSubstr("none: "));
  EXPECT_THAT(found("nonsense\n\n- cgroup2\n30 24 0:26 / /a\n"), HasSubstr("none: "));
  // The words stand in other fields.
  EXPECT_THAT(found("30 24 0:26 / /cgroup2 rw shared:1 - tmpfs cgroup2 rw\n"),
              HasSubstr("none: "));
}

TEST(CgroupMount, SpacesAreWrittenInOctal) {
  EXPECT_EQ("/my mounts/\\x/cg",
            found("30 24 0:26 / /my\\040mounts/\\134x/cg rw shared:4 - cgroup2 none rw\n"));
}

TEST(CgroupMount, ThisProcess) {
  auto mount = cgroup2_mount();

  ASSERT_TRUE(mount) << mount.error().message();
  EXPECT_TRUE(cgroup_id(*mount)) << *mount;
}

TEST(CgroupTree, EveryFolderBelowTheRootWithItsInode) {
  test::TemporaryFolder folder;

  for (const char* name : {"t", "t/a", "t/a/b", "t/c", "other"}) folder.make_folder(name);
  folder.write("t/cgroup.procs", "1\n");

  auto tree = walk_cgroups(folder.path(), "/t");

  ASSERT_TRUE(tree) << tree.error().message();
  EXPECT_EQ(4u, tree->size());
  for (const char* path : {"/t", "/t/a", "/t/a/b", "/t/c"}) {
    struct stat status {};

    ASSERT_EQ(0, stat((folder.path() + path).c_str(), &status));
    ASSERT_TRUE(tree->contains(path)) << path;
    EXPECT_EQ(status.st_ino, tree->at(path));
    EXPECT_EQ(status.st_ino, *cgroup_id(folder.path() + path));
  }
}

TEST(CgroupTree, ARootThatIsNotThere) {
  test::TemporaryFolder folder;
  auto tree = walk_cgroups(folder.path(), "/gone");

  ASSERT_FALSE(tree);
  EXPECT_EQ(fmt::format("look at cgroup {}/gone: No such file or directory", folder.path()),
            tree.error().message());
  EXPECT_EQ(ENOENT, tree.error().errno_value());
}

}  // namespace
}  // namespace partywall::source
