// tests/unit/last_good_test.cc: copies of the policy in force: whole, small to write, and never
// half of one. Writes into a temporary folder.
#include "agent/last_good.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <iterator>
#include <map>
#include <memory>
#include <random>

#include "tests/unit/temporary_folder.h"

namespace partywall {
namespace {

using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

class LastGoodTest : public testing::Test {
 protected:
  static source::PolicySource source(const std::string& name, const std::string& text) {
    return {name, std::make_shared<const std::string>(text)};
  }
  void save(const std::vector<source::PolicySource>& files, const std::string& config = "") {
    auto saved = last_good_.save(files, config);

    ASSERT_TRUE(saved) << saved.error().message();
  }
  // Name -> text of all that is in the copy.
  std::map<std::string, std::string> copies() const {
    std::map<std::string, std::string> found;

    for (const auto& entry : std::filesystem::directory_iterator(last_good_.folder())) {
      std::ifstream file(entry.path());

      found[entry.path().filename()] = std::string(std::istreambuf_iterator<char>(file), {});
    }
    return found;
  }
  ino_t inode(const std::string& name) const {
    struct stat status {};

    EXPECT_EQ(0, stat((last_good_.folder() + "/" + name).c_str(), &status)) << name;
    return status.st_ino;
  }

  test::TemporaryFolder folder_;
  std::string state_ = folder_.path("state");
  LastGood last_good_{state_, "/etc/partywall/policy.d"};
};

constexpr const char* kHome = "/etc/partywall/policy.d\n";

TEST_F(LastGoodTest, CopiesFilesAndSaysWhereTheyCameFrom) {
  save({source("a.yaml", "1\n"), source("b.yml", "2\n")});
  EXPECT_EQ(state_ + "/last-good", last_good_.folder());
  EXPECT_THAT(copies(), UnorderedElementsAre(Pair("a.yaml", "1\n"), Pair("b.yml", "2\n"),
                                             Pair(".policy-dir", kHome)));

  struct stat status {};

  for (const std::string& folder : {state_, last_good_.folder()}) {
    ASSERT_EQ(0, stat(folder.c_str(), &status));
    EXPECT_EQ(0700u, status.st_mode & 0777) << folder;
  }
  ASSERT_EQ(0, stat((last_good_.folder() + "/a.yaml").c_str(), &status));
  EXPECT_EQ(0600u, status.st_mode & 0777);
}

TEST_F(LastGoodTest, TheNextSaveReplacesAll) {
  save({source("a.yaml", "1"), source("b.yaml", "2"), source("c.yaml", "3")}, "node: x\n");
  save({source("b.yaml", "2"), source("c.yaml", "33"), source("d.yaml", "4")});
  EXPECT_THAT(copies(), UnorderedElementsAre(Pair("b.yaml", "2"), Pair("c.yaml", "33"),
                                             Pair("d.yaml", "4"), Pair(".policy-dir", kHome)));
  save({});
  EXPECT_THAT(copies(), UnorderedElementsAre(Pair(".policy-dir", kHome)));
}

TEST_F(LastGoodTest, TheCopyBeforeIsAllThatIsLeftBesideIt) {
  for (int i = 0; i < 5; i++) save({source("a.yaml", std::to_string(i))});
  EXPECT_EQ(2, std::distance(std::filesystem::directory_iterator(state_), {}));
  EXPECT_TRUE(std::filesystem::exists(state_ + "/last-good.new/a.yaml"));
}

// Whatever changes from one save to the next, and whoever begins anew or takes a file away.
TEST_F(LastGoodTest, EverySaveIsWhole) {
  std::mt19937 dice(4711);
  auto roll = [&](unsigned sides) { return dice() % sides; };
  std::map<std::string, source::PolicySource> files;

  for (int round = 0; round < 400; round++) {
    for (unsigned changes = roll(4); changes > 0; changes--) {
      std::string name = std::to_string(roll(12)) + ".yaml";

      if (roll(3) == 0)
        files.erase(name);
      else
        files[name] = source(name, std::to_string(dice()));
    }
    std::vector<source::PolicySource> listed;
    std::map<std::string, std::string> expected = {{".policy-dir", kHome}};
    std::string config = roll(2) ? "node: x\n" : "";

    for (const auto& [name, file] : files) {
      listed.push_back(file);
      expected[name] = *file.text;
    }
    if (!config.empty()) expected[".config.yaml"] = config;
    if (roll(20) == 0) last_good_ = LastGood(state_, "/etc/partywall/policy.d");
    if (roll(20) == 0)
      for (const char* folder : {"/last-good/", "/last-good.new/"})
        std::filesystem::remove(state_ + folder + std::to_string(roll(12)) + ".yaml");
    if (roll(40) == 0) std::filesystem::remove_all(state_ + "/last-good.new");
    save(listed, config);
    ASSERT_EQ(expected, copies()) << "round " << round;
  }
}

TEST_F(LastGoodTest, WhatDidNotChangeIsLinked) {
  auto same = source("same.yaml", "1");
  auto before = source("before.yaml", "2");

  save({before, same});
  ino_t same_inode = inode("same.yaml");
  ino_t before_inode = inode("before.yaml");

  save({source("aa.yaml", "new"), source("before.yaml", "other"), same});
  EXPECT_EQ(same_inode, inode("same.yaml"));
  EXPECT_NE(before_inode, inode("before.yaml"));
  EXPECT_THAT(copies(),
              UnorderedElementsAre(Pair("aa.yaml", "new"), Pair("before.yaml", "other"),
                                   Pair("same.yaml", "1"), Pair(".policy-dir", kHome)));
}

TEST_F(LastGoodTest, ALinkThatCannotBeMadeIsACopy) {
  auto same = source("same.yaml", "1");

  save({same});
  std::filesystem::remove(last_good_.folder() + "/same.yaml");
  save({same});
  EXPECT_THAT(copies(),
              UnorderedElementsAre(Pair("same.yaml", "1"), Pair(".policy-dir", kHome)));
  std::filesystem::remove_all(last_good_.folder());
  save({same});
  EXPECT_EQ("1", copies()["same.yaml"]);
}

TEST_F(LastGoodTest, TheConfigurationIsCopiedWhenThereIsOne) {
  save({source("a.yaml", "1")}, "infrastructure: []\n");
  EXPECT_EQ("infrastructure: []\n", copies().at(".config.yaml"));
  save({source("a.yaml", "1")}, "");
  EXPECT_FALSE(copies().contains(".config.yaml"));
}

TEST_F(LastGoodTest, APolicyThatIsASingleFile) {
  for (auto [path, copy] : {std::pair{"/etc/partywall/all.yaml", "all.yaml"},
                            {"/etc/partywall/all.yml", "all.yml"},
                            {"/etc/partywall/tenants.conf", "tenants.conf.yaml"},
                            {"/etc/partywall/tenants", "tenants.yaml"}}) {
    last_good_ = LastGood(state_, path);
    save({source(path, "1")});
    EXPECT_THAT(copies(), UnorderedElementsAre(Pair(copy, "1"),
                                               Pair(".policy-dir", std::string(path) + "\n")));
  }
}

TEST_F(LastGoodTest, WhereItCameFromIsAWholePath) {
  last_good_ = LastGood(state_, "some/../policy.d");
  save({});
  EXPECT_EQ((std::filesystem::current_path() / "policy.d").string() + "\n",
            copies().at(".policy-dir"));
}

TEST_F(LastGoodTest, WhatCannotBeWrittenIsSaidAndTheLastCopyStays) {
  save({source("a.yaml", "1")});
  // The name of a file that cannot be made.
  auto saved = last_good_.save({source(std::string(300, 'x') + ".yaml", "2")}, "");

  ASSERT_FALSE(saved);
  EXPECT_THAT(saved.error().message(), HasSubstr(last_good_.folder()));
  EXPECT_EQ("1", copies()["a.yaml"]);
  save({source("a.yaml", "3")});
  EXPECT_EQ("3", copies()["a.yaml"]);

  LastGood nowhere(folder_.path("no/such"), "/p");

  saved = nowhere.save({}, "");
  ASSERT_FALSE(saved);
  EXPECT_THAT(saved.error().message(), HasSubstr(folder_.path("no/such")));
}

// An agent that is killed at any moment leaves one policy or the other, never some of each.
TEST_F(LastGoodTest, KilledAtAnyMoment) {
  std::mt19937 random(3);

  for (int round = 0; round < 60; round++) {
    int pipe_ends[2];

    ASSERT_EQ(0, pipe(pipe_ends));
    pid_t child = fork();

    if (child == 0) {
      LastGood own(state_, "/p");

      for (int generation = 0;; generation++) {
        std::vector<source::PolicySource> files;

        for (char name = 'a'; name < 'a' + 20; name++)
          files.push_back(source(std::string(1, name) + ".yaml", std::to_string(generation)));
        if (!own.save(files, std::to_string(generation)) || write(pipe_ends[1], "x", 1) != 1)
          _exit(1);
      }
    }
    char done[64];
    ssize_t wanted = 1 + static_cast<ssize_t>(random() % 8);

    close(pipe_ends[1]);
    for (ssize_t got = 0; got < wanted;) {
      ssize_t more = read(pipe_ends[0], done, static_cast<size_t>(wanted - got));

      ASSERT_GT(more, 0) << "the child has failed";
      got += more;
    }
    // Somewhere in the next save, of a millisecond or less.
    auto then = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 1000);

    while (std::chrono::steady_clock::now() < then) continue;
    kill(child, SIGKILL);
    ASSERT_EQ(child, waitpid(child, nullptr, 0));
    close(pipe_ends[0]);

    auto found = copies();

    ASSERT_EQ(22u, found.size()) << "round " << round;
    std::string generation = found.at(".config.yaml");

    for (const auto& [name, text] : found)
      EXPECT_EQ(name == ".policy-dir" ? "/p\n" : generation, text) << name;
  }
  save({source("after.yaml", "1")});
  EXPECT_THAT(copies(),
              UnorderedElementsAre(Pair("after.yaml", "1"), Pair(".policy-dir", kHome)));
  EXPECT_EQ(2, std::distance(std::filesystem::directory_iterator(state_), {}));
}

}  // namespace
}  // namespace partywall
