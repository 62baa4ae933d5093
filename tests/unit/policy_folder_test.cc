// tests/unit/policy_folder_test.cc: a policy folder as people and programs change it. Waits for
// the watch, never for time.
#include "agent/source/policy_folder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <thread>

#include "tests/unit/policy_text.h"
#include "tests/unit/temporary_folder.h"

namespace partywall::source {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class PolicyFolderTest : public testing::Test {
 protected:
  void open(const std::string& path) {
    auto opened = PolicyFolder::open(path);

    ASSERT_TRUE(opened) << opened.error().message();
    folder_.emplace(std::move(*opened));
  }

  // Reads, and returns the names of the tenants, or what is wrong.
  std::vector<std::string> read() {
    auto parsed = folder_->read({}, "");

    if (!parsed.problems.empty()) return test::lines_of(parsed.problems);

    std::vector<std::string> names;

    for (const auto& [name, tenant] : parsed.policy.tenants) names.push_back(name);
    return names;
  }

  // Whether something happens that may change the policy.
  bool noticed() {
    pollfd watch{folder_->watch_fd(), POLLIN, 0};

    while (poll(&watch, 1, 5'000) > 0)
      if (folder_->drain()) return true;
    return false;
  }
  // The kernel tells before the call that did it returns: what is not there now never comes.
  bool quiet() { return !folder_->drain(); }

  // Makes a file old enough to be known by its time.
  void settle(const std::string& name) {
    timespec long_ago[2] = {{1'000'000, 0}, {1'000'000, 0}};

    ASSERT_EQ(0, utimensat(AT_FDCWD, place_.path(name).c_str(), long_ago, 0));
  }

  test::TemporaryFolder place_;
  std::optional<PolicyFolder> folder_;
};

TEST_F(PolicyFolderTest, FilesInTheOrderOfTheirNames) {
  place_.write("b.yaml", test::tenant("b") + test::tenant("twice"));
  place_.write("a.yml", test::tier() + test::tenant("twice"));
  place_.write("notes.txt", "{");
  place_.write("c.yaml.bak", "{");
  place_.write(".hidden.yaml", "{");
  place_.make_folder("d.yaml");
  ASSERT_EQ(0, mkfifo(place_.path("e.yaml").c_str(), 0600));
  open(place_.path() + "//");
  EXPECT_THAT(read(),
              ElementsAre("b.yaml:4:69: metadata.name: tenant twice is already defined at "
                          "a.yml:4:69: names are unique over all files"));
  EXPECT_EQ(2u, folder_->files());
  EXPECT_EQ(2u, folder_->files_parsed());
}

TEST_F(PolicyFolderTest, OnlyWhatChangedIsParsedAgain) {
  for (const char* name : {"a", "b", "c"}) {
    place_.write(std::string(name) + ".yaml",
                 name == std::string("a") ? test::tier() : test::tenant(name));
    settle(std::string(name) + ".yaml");
  }
  open(place_.path());
  EXPECT_THAT(read(), ElementsAre("b", "c"));
  EXPECT_EQ(3u, folder_->files_parsed());
  EXPECT_THAT(read(), ElementsAre("b", "c"));
  EXPECT_EQ(0u, folder_->files_parsed());
  place_.write("c.yaml", test::tenant("d"));
  EXPECT_THAT(read(), ElementsAre("b", "d"));
  EXPECT_EQ(1u, folder_->files_parsed());
  place_.remove("b.yaml");
  EXPECT_THAT(read(), ElementsAre("d"));
  EXPECT_EQ(2u, folder_->files());
}

TEST_F(PolicyFolderTest, TwoWritesInOneTickAreTwo) {
  open(place_.path());
  for (const char* name : {"a", "b", "c", "d"}) {
    place_.write("x.yaml", test::tier() + test::tenant(name));
    EXPECT_THAT(read(), ElementsAre(name));
  }
}

TEST_F(PolicyFolderTest, AFileRenamedIntoPlace) {
  place_.write("a.yaml", test::tier() + test::tenant("a"));
  open(place_.path());
  EXPECT_THAT(read(), ElementsAre("a"));
  EXPECT_TRUE(quiet());
  place_.write(".a.yaml.tmp", test::tier() + test::tenant("b"));
  EXPECT_TRUE(quiet());
  place_.rename(".a.yaml.tmp", "a.yaml");
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre("b"));
  place_.rename("a.yaml", "a.yaml.off");
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(),
              ElementsAre(HasSubstr("no *.yaml or *.yml file in this folder: write one")));
}

TEST_F(PolicyFolderTest, AFileWrittenInPlaceIsReadWhenItIsClosed) {
  place_.write("a.yaml", test::tier());
  open(place_.path());
  EXPECT_THAT(read(), IsEmpty());

  std::ofstream file(place_.path("b.yaml"));

  file << test::tenant("b") << std::flush;
  EXPECT_TRUE(quiet());
  file << test::tenant("c") << std::flush;
  EXPECT_TRUE(quiet());
  file.close();
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre("b", "c"));
}

// Another file's change has the folder read while somebody is in the middle of this one.
TEST_F(PolicyFolderTest, HalfOfAFileIsNeverRead) {
  place_.write("a.yaml", test::tier() + test::tenant("a"));
  open(place_.path());
  EXPECT_THAT(read(), ElementsAre("a"));

  std::ofstream known(place_.path("a.yaml")), fresh(place_.path("b.yaml"));

  known << test::tier() << test::tenant("half") << std::flush;
  place_.write("c.yaml", test::tenant("c"));
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(),
              ElementsAre("b.yaml: read policy file: it is open for writing, and read as "
                          "soon as that is done"));
  fresh.close();
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre("a", "c"));  // a.yaml as it was
  known << test::tenant("whole");
  known.close();
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre("c", "half", "whole"));
}

// A writer that comes while a file is read waits for a moment; the reader is not disturbed.
TEST_F(PolicyFolderTest, WritersThatMeetTheReader) {
  std::string text = test::tier() + test::tenant("a") + "# " + std::string(100'000, 'x') + "\n";

  place_.write("a.yaml", text);
  open(place_.path());
  EXPECT_THAT(read(), ElementsAre("a"));

  std::jthread writer([&] {
    for (int i = 0; i < 150; i++) place_.write("a.yaml", text);
  });
  int reads = 0;

  for (; reads < 150; reads++) ASSERT_THAT(read(), ElementsAre("a"));
  EXPECT_TRUE(noticed());
}

TEST_F(PolicyFolderTest, WhatIsNoPolicyIsNotNoticed) {
  place_.write("a.yaml", test::tier());
  open(place_.path());
  place_.write("notes.txt", "x");
  place_.write(".b.yaml.swp", "x");
  place_.make_folder("sub");
  EXPECT_TRUE(quiet());
}

TEST_F(PolicyFolderTest, LinksAreNoticedAsTheyAreMade) {
  test::TemporaryFolder elsewhere;

  elsewhere.write("x", test::tier() + test::tenant("x"));
  open(place_.path());
  place_.link(elsewhere.path("x"), "soft.yaml");
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre("x"));
  place_.remove("soft.yaml");
  EXPECT_TRUE(noticed());

  std::filesystem::create_hard_link(elsewhere.path("x"), place_.path("hard.yaml"));
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre("x"));
}

// As kubelet writes a ConfigMap: files are links through ..data, which is renamed over.
TEST_F(PolicyFolderTest, TheDataLinkOfAConfigMap) {
  place_.make_folder("..1");
  place_.write("..1/acme.yaml", test::tier() + test::tenant("one"));
  place_.link("..1", "..data");
  place_.link("..data/acme.yaml", "acme.yaml");
  open(place_.path());
  EXPECT_THAT(read(), ElementsAre("one"));

  place_.make_folder("..2");
  place_.write("..2/acme.yaml", test::tier() + test::tenant("two"));
  place_.link("..2", "..data_tmp");
  EXPECT_TRUE(quiet());
  place_.rename("..data_tmp", "..data");
  EXPECT_TRUE(noticed());
  place_.remove("..1");
  EXPECT_THAT(read(), ElementsAre("two"));
  EXPECT_EQ(1u, folder_->files_parsed());
}

TEST_F(PolicyFolderTest, AFolderThatIsDeletedAndMadeAgain) {
  place_.make_folder("policy");
  place_.write("policy/a.yaml", test::tier() + test::tenant("a"));
  open(place_.path("policy"));
  EXPECT_THAT(read(), ElementsAre("a"));
  place_.remove("policy");
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(),
              ElementsAre(place_.path("policy") + ": read policy: No such file or directory"));

  place_.make_folder("policy");
  EXPECT_TRUE(noticed());
  place_.write("policy/a.yaml", test::tier() + test::tenant("b"));
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre("b"));
}

TEST_F(PolicyFolderTest, AFolderThatIsExchanged) {
  for (const char* name : {"one", "two"}) {
    place_.make_folder(name);
    place_.write(std::string(name) + "/a.yaml", test::tier() + test::tenant(name));
  }
  place_.link("one", "policy");
  open(place_.path("policy"));
  EXPECT_THAT(read(), ElementsAre("one"));
  place_.link("two", "policy.new");
  place_.rename("policy.new", "policy");
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre("two"));
  place_.write("two/a.yaml", test::tier() + test::tenant("three"));
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre("three"));
  EXPECT_TRUE(quiet());
  place_.write("one/a.yaml", "{");  // no longer ours
  EXPECT_TRUE(quiet());
}

TEST_F(PolicyFolderTest, AFolderThatIsNotThereYetNorTheOneAboveIt) {
  open(place_.path("etc/partywall/policy"));
  EXPECT_THAT(read(), ElementsAre(HasSubstr("read policy: No such file or directory")));
  place_.make_folder("etc");
  EXPECT_TRUE(noticed());
  place_.make_folder("etc/partywall");
  EXPECT_TRUE(noticed());
  place_.make_folder("etc/partywall/policy");
  EXPECT_TRUE(noticed());
  place_.write("etc/partywall/policy/a.yaml", test::tier() + test::tenant("a"));
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre("a"));
}

TEST_F(PolicyFolderTest, AFolderMovedIntoPlaceWithAllThatIsInIt) {
  open(place_.path("etc/policy"));
  place_.make_folder("new");
  place_.make_folder("new/policy");
  place_.write("new/policy/a.yaml", test::tier() + test::tenant("a"));
  place_.rename("new", "etc");
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre("a"));
  place_.write("etc/policy/a.yaml", test::tier() + test::tenant("b"));
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre("b"));
}

TEST_F(PolicyFolderTest, ASingleFile) {
  place_.write("acme.yaml", test::tier() + test::tenant("a"));
  open(place_.path("acme.yaml"));
  EXPECT_THAT(read(), ElementsAre("a"));
  place_.write("other.yaml", "{");
  EXPECT_TRUE(quiet());
  place_.write("acme.yaml", test::tier() + test::tenant("b"));
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre("b"));
  place_.write("new", test::tier() + test::tenant("A"));
  place_.rename("new", "acme.yaml");
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(),
              ElementsAre(HasSubstr(place_.path("acme.yaml") + ":4:69: metadata.name: \"A\"")));
  place_.remove("acme.yaml");
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre(HasSubstr("read policy: No such file or directory")));
}

TEST_F(PolicyFolderTest, FilesThatCannotBeRead) {
  place_.write("a.yaml", test::tier() + test::tenant("a"));
  place_.write("b.yaml", test::tenant("b"));
  place_.link("nowhere", "c.yaml");
  place_.link("d.yaml", "d.yaml");
  ASSERT_EQ(0, chmod(place_.path("b.yaml").c_str(), 0));
  ASSERT_EQ(0, chmod(place_.path().c_str(), 0755));
  open(place_.path());

  // Root may read everything; nobody may not.
  int before = setfsuid(65534);
  auto lines = read();

  setfsuid(static_cast<uid_t>(before));
  EXPECT_THAT(lines,
              ElementsAre("b.yaml: read policy file: Permission denied",
                          "c.yaml: read policy file: No such file or directory",
                          "d.yaml: read policy file: Too many levels of symbolic links"));
  // Whoever is back counts again.
  ASSERT_EQ(0, chmod(place_.path("b.yaml").c_str(), 0644));
  place_.remove("c.yaml");
  place_.remove("d.yaml");
  EXPECT_THAT(read(), ElementsAre("a", "b"));
}

TEST_F(PolicyFolderTest, TooLargeAFile) {
  place_.write("a.yaml", test::tier());
  ASSERT_EQ(0, truncate(place_.path("a.yaml").c_str(), kMaxPolicyFileBytes + 1));
  open(place_.path());
  EXPECT_THAT(read(),
              ElementsAre("a.yaml: read policy file: 8388609 bytes are too many: the most is "
                          "8388608, so split it"));
  EXPECT_EQ(0u, folder_->files_parsed());
}

TEST_F(PolicyFolderTest, TooMuchAltogether) {
  std::string comment = "#" + std::string(kMaxPolicyFileBytes - 1, 'x');
  std::string first = test::tier() + comment;

  first.resize(kMaxPolicyFileBytes);
  place_.write("0.yaml", first);
  for (int i = 1; i < 8; i++) place_.write(fmt::format("{}.yaml", i), comment);
  place_.write("8.yaml", "#");
  open(place_.path());
  EXPECT_THAT(read(),
              ElementsAre("8.yaml: read policy: all files together have more than 67108864 "
                          "bytes"));
}

TEST_F(PolicyFolderTest, TooManyFiles) {
  place_.write("empty", "");
  for (size_t i = 0; i <= kMaxPolicyFiles; i++)
    std::filesystem::create_hard_link(place_.path("empty"),
                                      place_.path(fmt::format("{}.yaml", i)));
  open(place_.path());
  EXPECT_THAT(read(), ElementsAre(HasSubstr("read policy: more than 10000 files: join some")));
  place_.remove("0.yaml");
  EXPECT_THAT(read(), IsEmpty());
}

// More happens than the kernel keeps: it says so, and nothing is missed.
TEST_F(PolicyFolderTest, AFloodOfChanges) {
  size_t most = 0;
  std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> most;
  ASSERT_GT(most, 0u);
  place_.write("a.yaml", test::tier());
  place_.write(".x", "");
  place_.write(".y", "");
  open(place_.path());
  for (size_t i = 0; i <= most / 2; i++) {  // two events each
    place_.rename(".x", ".z");
    place_.rename(".z", ".x");
  }
  place_.write("b.yaml", test::tenant("b"));
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre("b"));
  EXPECT_TRUE(quiet());
  place_.write("b.yaml", test::tenant("c"));
  EXPECT_TRUE(noticed());
  EXPECT_THAT(read(), ElementsAre("c"));
}

}  // namespace
}  // namespace partywall::source
