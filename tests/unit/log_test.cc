// tests/unit/log_test.cc: what a log line looks like, and which are written.
#include "agent/log.h"

#include <gmock/gmock.h>
#include <spdlog/spdlog.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>

namespace partywall {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
using testing::SizeIs;
using Json = nlohmann::ordered_json;

class LogTest : public testing::Test {
 protected:
  void TearDown() override { spdlog::drop_all(); }

  // The lines that are written meanwhile.
  static std::vector<std::string> lines(const std::string& format, const std::string& level,
                                        const std::function<void()>& say) {
    spdlog::drop_all();
    testing::internal::CaptureStderr();
    set_up_log(format, level);
    say();
    std::istringstream text(testing::internal::GetCapturedStderr());
    std::vector<std::string> found;

    for (std::string line; std::getline(text, line);) found.push_back(line);
    return found;
  }
};

void say_one_of_each() {
  spdlog::trace("t");
  spdlog::debug("d");
  spdlog::info("i");
  spdlog::warn("w");
  spdlog::error("e");
  spdlog::critical("c");
}

TEST_F(LogTest, JsonIsOneObjectALine) {
  auto found = lines("json", "info", [] { spdlog::warn("generation {} stays", 7); });

  ASSERT_THAT(found, SizeIs(1));

  Json line = Json::parse(found[0]);
  std::vector<std::string> keys;

  for (const auto& [key, value] : line.items()) keys.push_back(key);
  EXPECT_EQ((std::vector<std::string>{"time", "level", "message"}), keys);
  EXPECT_THAT(line["time"].get<std::string>(),
              MatchesRegex("20[0-9][0-9]-[0-9]+-[0-9]+T[0-9]+:[0-9]+:[0-9]+\\.[0-9]+Z"));
  EXPECT_EQ(27u, line["time"].get<std::string>().size());
  EXPECT_EQ("warning", line["level"]);
  EXPECT_EQ("generation 7 stays", line["message"]);
}

TEST_F(LogTest, JsonSurvivesEveryMessage) {
  for (std::string message :
       {std::string("quo\"te \\ back"), std::string("two\nlines\r\n"),
        std::string("\x1b[31m\x01"), std::string("bad \xff\xc3 bytes"), std::string("a\0b", 3),
        std::string("{} %s %n"), std::string(100'000, 'x'), std::string()}) {
    auto found = lines("json", "info", [&] { spdlog::error("{}", message); });

    ASSERT_THAT(found, SizeIs(1)) << message;
    Json line = Json::parse(found[0]);

    EXPECT_EQ("error", line["level"]);
    EXPECT_EQ(message.starts_with("bad") ? "bad \xef\xbf\xbd\xef\xbf\xbd bytes" : message,
              line["message"]);
  }
}

TEST_F(LogTest, LevelsAreThoseOfTheFlag) {
  std::map<std::string, std::vector<std::string>> expected = {
      {"debug", {"d", "i", "w", "e", "c"}},
      {"info", {"i", "w", "e", "c"}},
      {"warn", {"w", "e", "c"}},
      {"error", {"e", "c"}}};

  for (const auto& [level, messages] : expected) {
    std::vector<std::string> found;

    for (const std::string& line : lines("json", level, say_one_of_each))
      found.push_back(Json::parse(line)["message"]);
    EXPECT_EQ(messages, found) << level;
    EXPECT_THAT(lines("text", level, say_one_of_each), SizeIs(messages.size())) << level;
  }
}

TEST_F(LogTest, TextIsTimeLevelMessage) {
  auto found = lines("text", "info", [] { spdlog::warn("generation {} stays", 7); });

  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0],
              ContainsRegex("^20[0-9][0-9]-[0-9]+-[0-9]+T[0-9]+:[0-9]+:[0-9]+\\.[0-9]+"
                            "[^ ]* warning generation 7 stays$"));
  EXPECT_THAT(found[0], Not(HasSubstr("\x1b"))) << "no colours but on a terminal";
}

}  // namespace
}  // namespace partywall
